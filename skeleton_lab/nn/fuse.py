"""Two forms of one network: plain layers read like the paper, their fused twins compute the same with less.

A twin is a subclass with another ``forward`` and no parameter of its own, registered with ``@fuses``::

    @fuses(GraphUnit)
    class FusedGraphUnit(GraphUnit):
        def forward(self, x, bodies=None): ...

``fuse`` and ``unfuse`` change the classes of a network's layers in place; parameters, buffers, hooks and the mode stay.
Twins of ``model/paper.py`` are found in ``model/paper_fused.py`` or in a package ``model/fused``.

A twin may call its layers in a way that only their twins understand.  Then it has a static method
``can_fuse(layer) -> bool``, asked when the layers inside have been fused: False leaves the layer plain.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)
Twin = TypeVar("Twin", bound=type[nn.Module])
SUFFIX = "_fused"
PACKAGE = "fused"
_twins: dict[type[nn.Module], type[nn.Module]] = {}


def fuses(plain: type[nn.Module]) -> Callable[[Twin], Twin]:
    """Class decorator: the class computes what ``plain``, of which it is a subclass, computes.

    Raises:
        TypeError: not a subclass, or one with a constructor of its own.
    """

    def register(twin: Twin) -> Twin:
        if not issubclass(twin, plain) or twin is plain or "__init__" in vars(twin):
            raise TypeError(f"{twin.__name__} must be a subclass of {plain.__name__} without a constructor of its own")
        _twins[plain] = twin
        return twin

    return register


def fuse(network: Network) -> Network:
    """Every layer that has a fused twin becomes it, in place; the network is returned.

    Subclasses of plain layers, which may compute something else, stay as they are.

    Raises:
        RuntimeError: twins lie beside a layer's module, which cannot be imported now: its room is closed.
    """
    for module in reversed(list(network.modules())):  # what is inside a layer before the layer
        twin = _twin(type(module))
        if twin is not None and getattr(twin, "can_fuse", lambda layer: True)(module):
            module.__class__ = twin
    return network


def unfuse(network: Network) -> Network:
    """Every fused layer becomes the plain one again, in place; the network is returned."""
    plain = {twin: layer for layer, twin in _twins.items()}
    for module in network.modules():
        layer = plain.get(type(module))
        if layer is not None:
            module.__class__ = layer
    return network


def is_fused(network: nn.Module) -> bool:
    """Whether any layer is in its fused form."""
    return any(is_fused_layer(module) for module in network.modules())


def is_fused_layer(layer: nn.Module) -> bool:
    """Whether this layer itself is in its fused form, whatever is inside it."""
    return type(layer) in _twins.values()


def _twin(layer: type[nn.Module]) -> type[nn.Module] | None:
    """The twin of a layer; the module that holds it is imported when it is first asked for."""
    home = layer.__module__
    if layer not in _twins and home.partition(".")[0] != "torch" and not home.endswith(SUFFIX):
        _import_beside(layer, home)
    return _twins.get(layer)


def _import_beside(layer: type[nn.Module], home: str) -> None:
    package, _, _ = home.rpartition(".")
    written_in = _namespace(layer)
    if home in sys.modules and written_in is vars(sys.modules[home]):
        if hasattr(sys.modules.get(package), "__path__"):  # not a script's or a notebook's
            for name in (f"{home}{SUFFIX}", f"{package}.{PACKAGE}"):
                if importlib.util.find_spec(name) is not None:
                    importlib.import_module(name)
        return
    file = Path(written_in.get("__file__", ""))
    known = any(_namespace(plain) is written_in for plain in _twins)  # so this layer is one of those without a twin
    if file.with_name(f"{file.stem}{SUFFIX}.py").is_file() and not known:
        # The layer's module is gone; what would be found under its name now is another room's.
        raise RuntimeError(f"{layer.__name__} of {file} cannot be fused while its room is closed")


def _namespace(layer: type[nn.Module]) -> dict[str, Any]:
    """Globals of the module that a layer is written in, which may have left ``sys.modules`` with its room."""
    code = [inspect.unwrap(part) for part in vars(layer).values() if inspect.isfunction(part)]
    return code[0].__globals__ if code else vars(sys.modules.get(layer.__module__, sys))
