"""Skeleton Action Lab: published networks that train, test and compare from one data file.

The names below are for notebooks and scripts (docs/python.md); each is imported when it is first used. Nothing in here
imports a room.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from skeleton_lab.utils import cpus, python_check

if TYPE_CHECKING:
    from skeleton_lab import errors as errors
    from skeleton_lab.api import create_dataset, create_model, evaluate, fit, list_models
    from skeleton_lab.data.archives.opening import open_archive
    from skeleton_lab.inference.predictor import Prediction, Predictor

__all__ = [
    "Prediction", "Predictor", "create_dataset", "create_model", "evaluate", "fit", "list_models", "open_archive",
]  # fmt: skip
_HOMES = {
    "list_models": "api", "create_model": "api", "create_dataset": "api", "fit": "api",
    "open_archive": "data.archives.opening", "evaluate": "api", "Predictor": "inference.predictor",
    "Prediction": "inference.predictor",
}  # fmt: skip

python_check.check_python(sys.version_info[:3])
python_check.watch()
python_check.check_packages()
cpus.prepare()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name == "errors":
        return importlib.import_module(f"{__name__}.errors")
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    """Of the installed package: ``pyproject.toml`` has it, which images get and which needs no ``.git``."""
    from importlib import metadata  # takes a while, and few ask

    try:
        return metadata.version("skeleton-lab")
    except metadata.PackageNotFoundError:  # run from a folder on PYTHONPATH
        return "0+unknown"


def __dir__() -> list[str]:
    inner = {name for name in globals() if name.startswith("__")}  # a notebook completes the public names alone
    return sorted({*inner, *__all__, "__version__", "errors"})
