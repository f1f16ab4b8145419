"""One line where a program is started by a Python that lacks what the lab needs, instead of a traceback.

``skeleton_lab`` imports this before anything else, so it gets along with any Python 3.7 and without any package.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent.parent
OLDEST = (3, 10)
NEEDED = ("numpy", "yaml", "tqdm", "psutil")  # by everything, as they are imported; an exported network runs with these
PACKAGES = {  # those of pyproject.toml, extras included
    *NEEDED,
    *("torch", "lightning_fabric"),
    *("tensorboard", "matplotlib", "h5py", "skopt", "ftfy", "regex", "einops", "torch_dct", "scipy"),
}
USAGE = 2  # exit code, as in skeleton_lab.errors, which needs a newer Python


def remedy() -> str:
    """What to do about it, in a sentence."""
    here = ROOT / ".venv"
    if os.environ.get("SKELETON_LAB_CONTAINER"):
        return "The image's own Python, which has everything, is /opt/lab/bin/python"
    if not (here / "bin" / "python").exists():
        return f"`make setup` in {ROOT} makes an environment that has everything; then: source {here}/bin/activate"
    if Path(sys.prefix).resolve() == here.resolve():
        return f"`make -B setup` in {ROOT} puts the environment right"
    return f"The environment of `make setup` has everything: source {here}/bin/activate, or run {here}/bin/python"


def check_python(version: tuple[int, ...]) -> None:
    """End the program with one line if this Python is too old."""
    if version[:2] < OLDEST:
        print(f"error: this is Python {version[0]}.{version[1]}, the lab needs 3.10. {remedy()}", file=sys.stderr)
        raise SystemExit(USAGE)


def check_packages() -> None:
    """Raise what importing a missing package would raise, for programs import theirs only when they need them."""
    for name in NEEDED:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """``sys.excepthook``: a missing package of the lab is one line and exit code 2; everything else is as ever."""
    name = (getattr(error, "name", None) or "").partition(".")[0]
    known = isinstance(error, ModuleNotFoundError) and name in PACKAGES
    if not known or os.environ.get("SKELETON_LAB_TRACEBACK"):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {sys.executable or 'python'} has no package '{name}'. {remedy()}", file=sys.stderr)
    raise SystemExit(USAGE)


def watch() -> None:
    """Let ``explain`` speak if a program ends so; not in a session at a prompt, which goes on after an error."""
    if sys.excepthook is sys.__excepthook__ and not hasattr(sys, "ps1") and not sys.flags.interactive:
        sys.excepthook = explain
