"""Dotted names of the published configurations (``model.ctrgcn.Model``) become classes, once it is clear whose."""

from __future__ import annotations

import importlib
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

from skeleton_lab.errors import UsageError
from skeleton_lab.utils import trust

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
FILES = ("pt", "pth", "npz", "npy", "pkl", "ckpt", "txt", "json", "yaml", "yml", "csv", "safetensors")


def _network(thing: Any) -> bool:
    from torch import nn

    return isinstance(thing, type) and issubclass(thing, nn.Module)


def _feeder(thing: Any) -> bool:
    from skeleton_lab.utils.tensors import Dataset

    return isinstance(thing, type) and issubclass(thing, Dataset)


def _graph(thing: Any) -> bool:
    """Graphs have no class in common: one of the lab's own, by its name or its module's."""
    if not isinstance(thing, type) or _network(thing) or _feeder(thing) or not trust.of_here(thing):
        return False
    return "graph" in thing.__name__.lower() or any("graph" in part for part in thing.__module__.lower().split("."))


# kind -> is it one, and what it has to be
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (_network, "a torch.nn.Module"),
    "feeder": (_feeder, "a torch.utils.data.Dataset"),
    "graph": (_graph, "a graph class (in graph/, or with Graph in its name)"),
}


def import_class(name: str, kind: str | None = None) -> Any:
    """Import ``a.b`` and return its attribute ``C`` for ``a.b.C``.

    Args:
        name: of a class in the open room or in skeleton_lab; within ``trust.trusting(True)`` of anything.
        kind: ``model``, ``feeder`` or ``graph``: what the class has to be. A function of the room that is annotated
            to return such a class will do.

    Raises:
        UsageError: the module or the attribute does not exist, it lies elsewhere (and is not imported then), or it is
            something else; the message names both.  An ImportError raised by a module that does exist (a missing
            dependency, say) passes through unchanged.
    """
    module_name = str(name).rpartition(".")[0]
    if not DOTTED.fullmatch(str(name)):
        raise UsageError(f"{kind or 'class'} '{name}' is not a dotted class name such as model.ctrgcn.Model")
    what = f"{kind or 'class'} '{name}'"
    if not trust.everything() and (place := trust.foreign(module_name)) is not None:
        raise UsageError(
            f"{what}: '{module_name}' is neither of this room nor of skeleton_lab ({place}) and was not imported; "
            "put the class into the room, or add --trust-code if you know what it does"
        )
    thing = named(name, what)
    if not trust.everything():
        _check(thing, module_name, kind, what)
    return thing


def named(name: str, what: str | None = None) -> Any:
    """The attribute ``C`` of module ``a.b`` for ``a.b.C``, whatever it is: for names that a program itself says.

    Raises:
        UsageError: there is no such module or attribute.
    """
    what = what or f"class '{name}'"
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise UsageError(f"'{name}' is not a dotted class name such as model.ctrgcn.Model")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UsageError(f"{what}: there is no module '{error.name}' in this folder") from error
        raise
    if not hasattr(module, attribute):
        raise UsageError(f"{what}: module '{module_name}' has no '{attribute}'")
    return getattr(module, attribute)


def _check(thing: Any, module_name: str, kind: str | None, what: str) -> None:
    """Complain about what is no class, or not of the kind."""
    if isinstance(thing, FunctionType) and thing.__module__ == module_name and not trust.lab(thing):
        try:
            thing = typing.get_type_hints(thing).get("return")
        except (NameError, TypeError):
            thing = None
    fits, wanted = KINDS.get(kind, (lambda it: isinstance(it, type) and trust.of_here(it), "a class of this folder"))
    if not fits(thing):
        raise UsageError(f"{what}: it has to be {wanted}, or a function of the room that is annotated to return one")


def check_arguments(arguments: Mapping[str, Any], where: str) -> None:
    """Refuse dotted names among the arguments of a network or feeder that would lead to foreign code.

    Published networks call what ``graph`` names without looking at it, so it is looked at before.

    Args:
        where: the flag, for the message.

    Raises:
        UsageError: ``graph`` is no graph class, or another text names a module from elsewhere.
    """
    if trust.everything():
        return
    for key, text in _texts(arguments):
        if key == "graph":
            import_class(text, "graph")
        elif DOTTED.fullmatch(text) and text.rpartition(".")[2] not in FILES:
            place = trust.foreign(text.rpartition(".")[0])
            if place is not None:
                raise UsageError(
                    f"{where}: {key} '{text}' names code that is neither of this room nor of skeleton_lab ({place}); "
                    "leave it out, or add --trust-code if you know what it does"
                )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Key and value of every text in nested mappings and lists."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, str(name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner, key)


def submodules(package: str) -> Callable[[str], Any]:
    """``__getattr__`` of a room's package: ``import graph``, then ``graph.ntu_rgb_d``, imports that module.

    So published networks find their graph: their helper imports the first part of a dotted name and walks on by
    attributes.
    """

    def attribute(name: str) -> Any:
        module = f"{package}.{name}"
        try:
            if not name.startswith("__"):
                return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return attribute


def optional(module: str, package: str, extra: str, purpose: str) -> Any:
    """A module of a package that only few things need.

    Raises:
        UsageError: it is not installed; the message has the command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{purpose} needs {package}: pip install 'skeleton-lab[{extra}]'") from error
