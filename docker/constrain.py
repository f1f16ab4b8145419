"""Runs while an image is built: the constraints of its packages, on stdout, for pip.

Usage: constrain.py constraints.txt

PyTorch and NumPy stay as the base image has them: they were built for each other and for its CUDA.  Whatever else the
base has may be raised to the version in the file, never above it; everything that it lacks comes in just that version.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distributions

from pip._vendor.packaging.version import Version

KEPT = ("torch", "numpy")
LINE = re.compile(r"([A-Za-z0-9._-]+)==(\S+)( ;.*)?")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constrain(lines: Iterable[str], base: Mapping[str, str]) -> Iterator[str]:
    """The lines of constraints.txt for a base whose packages are ``base``, name to version."""
    for name in KEPT:
        if name in base:
            yield f"{name}=={base[name]}"
    if "numpy" not in base and base.get("torch", "").startswith("2.3."):
        yield "numpy<2"  # which that PyTorch was built for
    for line in lines:
        found = LINE.fullmatch(line.strip())
        if not found or plain(found[1]) == "torch":
            continue
        name, pinned, marker = plain(found[1]), found[2], found[3] or ""
        here = base.get(name)
        if name in KEPT and (here or base.get("torch", "").startswith("2.3.")):
            continue
        if here is None:
            yield f"{name}=={pinned}{marker}"
        elif Version(here) < Version(pinned):
            yield f"{name}>={here},<={pinned}{marker}"
        else:
            yield f"{name}=={here}{marker}"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print("\n".join(constrain(file, {plain(d.metadata["Name"]): d.version for d in distributions()})))
