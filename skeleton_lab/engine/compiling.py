"""What ``torch.compile`` needs of the machine."""

from __future__ import annotations

import os
import shutil
import sys


def missing_compiler(device: str) -> str | None:
    """The compiler that ``torch.compile`` would look for and not find, in words; None if it is there.

    Args:
        device: ``cpu``: PyTorch writes C++ (CXX, else g++; clang++ on macOS); ``cuda``: Triton builds its launchers in
            C (CC, else gcc or clang).
    """
    if device == "cuda":
        named, usual, language = os.environ.get("CC"), ("gcc", "clang"), "C"
    else:
        named, usual, language = os.environ.get("CXX"), ("clang++",) if sys.platform == "darwin" else ("g++",), "C++"
    if any(map(shutil.which, (named,) if named else usual)):
        return None
    return f"a {language} compiler ({named or ' or '.join(usual)})"
