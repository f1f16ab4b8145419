"""A network for the skeleton of its clips: what ``--skeleton``, or an archive of another one, changes in the options.

A room says what its networks need of a skeleton in ``graph/skeleton.py``: a class ``Graph`` whose argument
``skeleton`` is a name, a YAML file or YAML text; and, where that is not all, a function ``model_args(skeleton, name,
given)`` that returns more of the network's arguments.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from skeleton_lab.data.archives.about import written
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.engine import size_checks
from skeleton_lab.engine.config.options import Options
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.importing import import_class

GRAPH = "graph.skeleton.Graph"


def fit(options: Options, feeders: tuple[Any, Any] = (None, None)) -> list[str]:
    """Make ``model_args`` those of the clips' skeleton, where they are of another, and keep it in ``skeleton``.

    Args:
        feeders: of training and test, each a data set or None.

    Returns:
        A line for the log where something was changed.

    Raises:
        UsageError: training and test clips of different skeletons; a room without a graph for any skeleton.
    """
    known = [each for each in feeders if isinstance(each, Feeder) and each.skeleton is not None]
    if len(known) == 2 and known[0].skeleton != known[1].skeleton:
        raise UsageError(
            f"training clips are of the skeleton {known[0].skeleton.name}, test clips of {known[1].skeleton.name}: a "
            "network takes one; convert one archive, or name what both are with --skeleton"
        )
    clips = known[0] if known else None
    if options.skeleton is not None:
        found = layouts.layout(options.skeleton)
    elif clips is not None and clips.skeleton is not None and _other(options, clips):
        found = clips.skeleton
    else:
        return []
    shape = None if clips is None else size_checks.clip_shape(clips)
    changes = arguments(options, found, None if shape is None else shape[0])
    changes |= own_classes(options, clips)
    options.model_args = {**options.model_args, **changes}
    options.skeleton = written(found)
    return [_line(found, clips, changes)]


def _other(options: Options, clips: Feeder) -> bool:
    """Whether the clips have another skeleton than the network that the options describe, or are read another way."""
    assert clips.skeleton is not None
    if clips.placed:
        return True
    name = configured(options)
    if name is not None:
        same = clips.skeleton.name == name
        return not same if clips.told else clips.skeleton.V != layouts.layout(name).V
    joints = size_checks.told(size_checks.JOINTS, options.model_args, import_class(options.model, "model"))
    return joints is not None and joints != clips.skeleton.V


def configured(options: Options) -> str | None:
    """The skeleton of the network that the options describe: its graph's, else that of the feeder's own archives.

    None where a graph of one's own does not tell, by an attribute ``skeleton``.
    """
    graph, given = options.model_args.get("graph"), options.model_args.get("graph_args") or {}
    if graph is not None and "skeleton" not in given:
        return getattr(import_class(graph, "graph"), "skeleton", None)
    told = given.get("skeleton", given.get("layout"))
    if told is None:
        return getattr(import_class(options.feeder, "feeder"), "usual", None)
    try:
        return layouts.layout(told).name
    except UsageError:  # a layout of ST-GCN's that is no skeleton of the registry
        return None


def arguments(options: Options, skeleton: Layout, channels: int | None) -> dict[str, Any]:
    """The arguments of the network that are others for this skeleton, with their new values.

    Args:
        channels: of the clips; None: as before.
    """
    given, network = options.model_args, import_class(options.model, "model")
    own = getattr(sys.modules[import_class(GRAPH, "graph").__module__], "model_args", None)
    name = written(skeleton)
    made = {"graph": GRAPH, "graph_args": {**(given.get("graph_args") or {}), "skeleton": name}}
    made |= {name: skeleton.V for name in size_checks.JOINTS}
    parameters = inspect.signature(network).parameters
    made = {key: value for key, value in made.items() if key in given or key in parameters}
    made |= own(skeleton, name, given) if own else {}
    if channels is not None and channels != (size_checks.told(size_checks.CHANNELS, given, network) or 3):
        made["in_channels"] = channels
    return {key: value for key, value in made.items() if given.get(key) != value}


def own_classes(options: Options, clips: Feeder | None) -> dict[str, int]:
    """The number of classes of an archive that names them, where the options say another: the network is new anyway."""
    names = getattr(clips.clips, "class_names", None) if clips is not None else None
    key = next((key for key in size_checks.CLASSES if key in options.model_args), None)
    if names is None or key is None or options.model_args[key] == len(names):
        return {}
    return {key: len(names)}


def _line(skeleton: Layout, clips: Feeder | None, changes: dict[str, Any]) -> str:
    placed = ""
    if clips is not None and clips.placed:
        scores = " and a score" if clips.clips.C > clips.D else ""
        placed = f", {clips.D} coordinates{scores}, placed about the body (docs/data.md)"
    shown = {key: value for key, value in changes.items() if key not in ("graph", "graph_args")}
    new = ", ".join(f"{key}={value}" for key, value in shown.items())
    return (
        f"Skeleton: {skeleton.name}, {skeleton.V} joints{placed}; the network is made for it{f': {new}' * bool(new)}."
    )
