"""Dotted names of the published configurations (``model.ctrgcn.Model``) become classes."""

from __future__ import annotations

import importlib
from typing import Any

from skeleton_lab.errors import UsageError


def import_class(name: str) -> Any:
    """Import ``a.b`` and return its attribute ``C`` for ``a.b.C``.

    Raises:
        UsageError: the module or the attribute does not exist; the message names both.  An ImportError raised
            by a module that does exist (a missing dependency, say) passes through unchanged.
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise UsageError(f"'{name}' is not a dotted class name such as model.ctrgcn.Model")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UsageError(f"class '{name}': there is no module '{error.name}' in this folder") from error
        raise
    if not hasattr(module, attribute):
        raise UsageError(f"class '{name}': module '{module_name}' has no '{attribute}'")
    return getattr(module, attribute)


def optional(module: str, package: str, extra: str, purpose: str) -> Any:
    """A module of a package that only few things need.

    Raises:
        UsageError: it is not installed; the message has the command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{purpose} needs {package}: pip install 'skeleton-lab[{extra}]'") from error
