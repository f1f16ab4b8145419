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
from skeleton_lab.data.feeders.skeleton import coordinates
from skeleton_lab.engine import size_checks
from skeleton_lab.engine.config.options import Options
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.importing import import_class

GRAPH = "graph.skeleton.Graph"
NESTED = {"graph_args", "graph_cfg"}  # arguments of a network that are those of its graph


def fit(options: Options, feeders: tuple[Any, Any] = (None, None)) -> list[str]:
    """Make ``model_args`` those of the clips' skeleton and classes, where they are of others; keep it in ``skeleton``.

    Args:
        feeders: of training and test, each a data set or None.

    Returns:
        Lines for the log about what was changed.

    Raises:
        UsageError: training and test clips of different skeletons; a room without a graph for any skeleton.
    """
    known = [each for each in feeders if isinstance(each, Feeder)]
    clips = known[0] if known else None
    lines = own_classes(options, clips)
    first, last = (each.skeleton for each in (known[0], known[-1])) if known else (None, None)
    if first is not None and last is not None and first != last:
        raise UsageError(
            f"training clips are of the skeleton {first.name}, test clips of {last.name}: a network takes one; convert "
            "one of the archives, or name with --skeleton what both are"
        )
    if options.skeleton is not None:
        found = layouts.layout(options.skeleton)
    elif clips is not None and first is not None and _other(options, clips, first):
        found = first
    else:
        return lines
    shape = None if clips is None else size_checks.clip_shape(clips)
    changes = replaced(options, found, None if shape is None else shape[0])
    options.model_args = {**options.model_args, **changes}
    options.skeleton = written(found)
    return [*lines, _line(found, clips, changes)]


def own_classes(options: Options, clips: Feeder | None) -> list[str]:
    """A training learns the classes that an archive of one's own names, however many the configuration has."""
    names = getattr(clips.clips, "class_names", None) if clips is not None and options.phase == "train" else None
    key = next((key for key in size_checks.CLASSES if key in options.model_args), None)
    if names is None or key is None or key in options.typed_args or options.model_args[key] == len(names):
        return []
    options.model_args = {**options.model_args, key: len(names)}
    return [f"The archive has {len(names)} classes: {key}={len(names)}."]


def _other(options: Options, clips: Feeder, skeleton: Layout) -> bool:
    """Whether the clips have another skeleton than the network that the options describe, or are read another way."""
    name = configured(options)
    if clips.placed:
        return True
    if name is not None:
        if clips.told:  # one's own may have a known one's name
            return skeleton.name != name or skeleton != layouts.known().get(name, skeleton)
        return skeleton.V != layouts.layout(name).V
    joints = size_checks.told(size_checks.JOINTS, options.model_args, import_class(options.model, "model"))
    return joints is not None and joints != skeleton.V


def configured(options: Options) -> str | None:
    """The skeleton of the network that the options describe: its graph's, else that of the feeder's own archives.

    None where a graph of one's own does not tell, by an attribute ``skeleton``.
    """
    graph, arguments = options.model_args.get("graph"), options.model_args
    given = next((arguments[key] for key in NESTED if arguments.get(key)), {})
    if graph is not None and "skeleton" not in given:
        return getattr(import_class(graph, "graph"), "skeleton", None)
    told = given.get("skeleton", given.get("layout"))
    if told is None:
        return getattr(import_class(options.feeder, "feeder"), "usual", None)
    try:
        return layouts.layout(told).name
    except UsageError:  # a published layout that is no skeleton of the registry
        return None


def replaced(options: Options, skeleton: Layout, channels: int | None) -> dict[str, Any]:
    """The arguments of the network that are others for this skeleton, with their new values.

    What was typed stays.  A graph of one's own stays, and with it all but the numbers of joints and channels: one that
    takes ``skeleton`` gets it, another is made for one skeleton.

    Args:
        channels: of the clips; None: as before.
    """
    given, typed, network = options.model_args, options.typed_args, import_class(options.model, "model")
    name, parameters = written(skeleton), inspect.signature(network).parameters
    graph = None if given.get("graph") is None else import_class(given["graph"], "graph")
    takes = graph is not None and "skeleton" in inspect.signature(graph).parameters
    own = graph is not None and not takes and ("graph" in typed or not hasattr(graph, "skeleton"))
    stays = own or bool(typed & {f"{key}.{word}" for key in NESTED for word in ("layout", "skeleton")})
    made: dict[str, Any] = {key: skeleton.V for key in size_checks.JOINTS}
    if not stays:
        made["graph"] = given["graph"] if takes else GRAPH
        made["graph_args"] = {**(given.get("graph_args") or {}), "skeleton": name}
    made = {key: value for key, value in made.items() if key in given or key in parameters}
    if not stays:
        more = getattr(sys.modules[import_class(GRAPH, "graph").__module__], "model_args", None)
        made |= more(skeleton, name, given) if more else {}
    if channels is not None and channels != (size_checks.told(size_checks.CHANNELS, given, network) or 3):
        made["in_channels"] = channels
    return {key: value for key, value in made.items() if key not in typed - NESTED and given.get(key) != value}


def _line(skeleton: Layout, clips: Feeder | None, changes: dict[str, Any]) -> str:
    read = ""
    if clips is not None:
        said = getattr(clips.clips, "skeleton", None)
        other = f" (the archive says {said.name})" if said is not None and said != skeleton else ""
        D = coordinates(clips.clips)
        scores = " and a score" if clips.clips.C > D else ""
        read = f"{other}, {D} coordinates{scores}" + ", placed about the body" * clips.placed
    shown = {key: value for key, value in changes.items() if key != "graph" and key not in NESTED}
    new = ", ".join(f"{key}={value}" for key, value in shown.items())
    return f"Skeleton: {skeleton.name}, {skeleton.V} joints{read}; the network is made for it{f': {new}' * bool(new)}."
