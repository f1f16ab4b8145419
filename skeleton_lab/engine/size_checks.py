"""Whether the sizes that a network is built for are sizes at all, and those of the clips."""

from __future__ import annotations

import inspect
from argparse import Namespace
from numbers import Integral
from typing import Any

import numpy as np
from torch import nn

from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.importing import import_class

CLASSES, JOINTS = ("num_class", "num_classes"), ("num_point", "num_points")
PEOPLE, CHANNELS = ("num_person", "num_people"), ("in_channels",)
MOST = {CLASSES: 100_000, JOINTS: 1000, PEOPLE: 100, CHANNELS: 1000}
AXES = ((CHANNELS, 0, "coordinates"), (JOINTS, 2, "joints"), (PEOPLE, 3, "people"))  # of (C, T, V, M)


def check_arguments(arguments: dict[str, Any]) -> None:
    """UsageError for a number of classes, joints, people or coordinates that is none."""
    for names, most in MOST.items():
        for name in names:
            value = arguments.get(name, 1)
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not whole or not 1 <= value <= most:
                raise UsageError(f"model_args: {name} must be a whole number from 1 to {most}, not {value!r}")


def told(names: tuple[str, ...], arguments: dict[str, Any], network: Any) -> int | None:
    """The number under one of the names: among the arguments, else the network's own default."""
    for name in names:
        if name in arguments:
            return int(arguments[name])
    parameters = inspect.signature(network).parameters
    defaults = [parameters[name].default for name in names if name in parameters]
    return next((value for value in defaults if isinstance(value, int)), None)


def people(options: Namespace) -> int | None:
    """How many people the network of a run sees at once, if it tells."""
    return told(PEOPLE, options.model_args, import_class(options.model, "model")) if options.model else None


def clip_shape(feeder: Any) -> tuple[int, ...] | None:
    """(C, T, V, M) of a feeder's first item (of several inputs the first); None of an empty one, or another form."""
    if not len(feeder):
        return None
    item = feeder[0] if isinstance(feeder, Feeder) else None
    shape = () if item is None else np.shape(item[0][0] if isinstance(item[0], (tuple, list)) else item[0])
    shape = shape[1:] if len(shape) == 5 else shape  # the first axis is that of several clips
    return tuple(shape[feeder.axes.index(axis)] for axis in "CTVM") if len(shape) == 4 else None


def check_clips(shape: tuple[int, ...], options: Namespace, net: nn.Module, where: str) -> None:
    """UsageError if clips (C, T, V, M) are of other sizes than the network was built for, as far as it tells."""
    for names, axis, what in AXES:
        built = told(names, options.model_args, type(net))
        by_graph = ()
        if built is None and names is JOINTS:  # some networks know them by their graph
            graph, by_graph = getattr(getattr(net, "backbone", net), "graph", None), ("graph_args", "graph_cfg")
            built = getattr(graph, "num_node", None)
        if built is not None and built != shape[axis]:
            name = next((name for name in (*names, *by_graph) if name in options.model_args), names[0])
            raise UsageError(
                f"{where} clips have {shape[axis]} {what}, and the network was built for {built} "
                f"(model_args: {name}); make them agree, or take another archive"
            )
