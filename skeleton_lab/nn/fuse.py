"""Two forms of one network: plain layers read like the paper, their fused twins compute the same with less.

A twin is a subclass with another ``forward`` and no parameter of its own, registered with ``@fuses``::

    @fuses(GraphUnit)
    class FusedGraphUnit(GraphUnit):
        def forward(self, x, bodies=None): ...

``fuse`` and ``unfuse`` change the classes of a network's layers in place; parameters, buffers, hooks and the mode stay.
Twins of ``model/paper.py`` are found in ``model/paper_fused.py``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)
Twin = TypeVar("Twin", bound=type[nn.Module])
SUFFIX = "_fused"
_twins: dict[type[nn.Module], type[nn.Module]] = {}


def fuses(plain: type[nn.Module]) -> Callable[[Twin], Twin]:
    """Class decorator: the class computes what ``plain``, of which it is a subclass, computes.

    Raises:
        TypeError: not a subclass, or one with a constructor of its own.
    """

    def register(twin: Twin) -> Twin:
        if not issubclass(twin, plain) or "__init__" in vars(twin):
            raise TypeError(f"{twin.__name__} must be a subclass of {plain.__name__} without a constructor of its own")
        _twins[plain] = twin
        return twin

    return register


def fuse(network: Network) -> Network:
    """Every layer that has a fused twin becomes it, in place; the network is returned.

    Subclasses of plain layers, which may compute something else, stay as they are.
    """
    for module in network.modules():
        twin = _twin(type(module))
        if twin is not None:
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
    twins = set(_twins.values())
    return any(type(module) in twins for module in network.modules())


def _twin(layer: type[nn.Module]) -> type[nn.Module] | None:
    """The twin of a layer; the module that holds it is imported when it is first asked for."""
    if layer not in _twins:
        home = layer.__module__
        if home.startswith("skeleton_lab.nn."):
            importlib.import_module("skeleton_lab.nn.fused")
        elif not home.endswith(SUFFIX) and f"{home}{SUFFIX}" not in sys.modules and home.partition(".")[0] != "torch":
            _import_beside(home)
    return _twins.get(layer)


def _import_beside(home: str) -> None:
    package, _, _ = home.rpartition(".")
    if package not in sys.modules:  # a script, or the room is not open
        return
    if importlib.util.find_spec(f"{home}{SUFFIX}") is not None:
        importlib.import_module(f"{home}{SUFFIX}")
