"""Which skeleton the clips of a feeder have, and whether they are read as they are stored or placed about the body."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout

Given = str | Path | None  # the feeders' argument ``skeleton``


def told(clips: Any, given: Given, usual: Layout | None = None) -> Layout | None:
    """The skeleton of clips: as given, else as their archive says, else the usual one, else what V joints can only be.

    Args:
        given: a name or a YAML file.
        usual: of a feeder's published archives, which say nothing.

    Returns:
        None where nothing tells it.

    Raises:
        UsageError: ``given`` is no skeleton, or one of another number of joints.
    """
    stored: Layout | None = getattr(clips, "skeleton", None)
    if given is None and stored is not None:
        return stored
    if given is not None:
        found = layouts.layout(given)
        if found.V != clips.V:
            raise UsageError(f"{clips.path} has {clips.V} joints, and the skeleton {found.name} has {found.V}")
        return found
    return usual if usual and usual.V == clips.V else layouts.told_by_joints(clips.V)


def required(clips: Any, given: Given, usual: Layout) -> Layout:
    """``told``, for feeders that cannot do without it; of clips that say nothing the published ones.

    Raises:
        ArchiveError: nothing tells the skeleton; or as ``told``.
    """
    found, words = told(clips, given, usual), says(clips, given)
    if found is None or not (words or clips.C == 3):
        raise ArchiveError(
            f"{clips.path} holds {clips.V} joints of {clips.C} coordinates and does not say which, this feeder takes "
            f"{usual.V} joints of 3; name their skeleton with --skeleton (`skeleton-lab skeletons` lists them)"
        )
    return found


def saying(clips: Any, found: Layout) -> Any:
    """The clips; a view that says its skeleton of clips that do not: with what is usual for it, units and scores."""
    if getattr(clips, "skeleton", None) is not None:
        return clips
    view = copy.copy(clips)
    view.skeleton, view.units, view.scored = found, found.units, scored(clips, found)
    return view


def scored(clips: Any, found: Layout | None) -> bool:
    """Whether the last channel is a score: as clips say that say their skeleton, else as is usual for ``found``."""
    if getattr(clips, "skeleton", None) is not None or found is None:
        return bool(getattr(clips, "scored", False))
    return found.scored and clips.C - found.dimensions == 1


def says(clips: Any, given: Given) -> bool:
    """Whether the feeder's argument or the archive says the skeleton."""
    return given is not None or getattr(clips, "skeleton", None) is not None


def coordinates(clips: Any) -> int:
    """D of the C channels of clips: one behind them may be a score."""
    return clips.C - bool(getattr(clips, "scored", False))
