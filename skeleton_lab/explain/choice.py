"""Which clips are explained, and for which class: of an archive by row or by class, of recordings window by window."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.explain.clip import Clip
from skeleton_lab.inference import predictions
from skeleton_lab.inference import recordings as inputs
from skeleton_lab.inference.any_skeleton import Unplaced
from skeleton_lab.inference.keypoints import reading
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.predict import Answer, predict
from skeleton_lab.inference.windows import Row, cut
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.reporting.viewer.clip_source import raw_recordings
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout


@dataclass
class Asked:
    """A clip that is explained.

    Attributes:
        clip: as the network gets it; points: (T, M, V, C) as it is shown, of the same people and frames.
        row: of the answer; name: of its recording; label: its class, where it is known.
        target: the class that is explained; p: its probability.
    """

    clip: Clip
    points: np.ndarray
    row: Row
    name: str
    label: int | None
    target: int
    p: float


def is_archive(path: Path) -> bool:
    """Whether a path holds the labelled clips of an archive, as ``predict`` decides it.

    Raises:
        ArchiveError, ArchiveNotFoundError: it is missing, empty or of no known form.
    """
    return not raw_recordings(path) and not reading.is_keypoints(path) and inputs.annotation_list(path) is None


def class_id(word: str, names: Sequence[str], flag: str) -> int:
    """A class by its number from 0 or by its name.

    Raises:
        UsageError: there is no such class.
    """
    if word.isdecimal():
        if int(word) >= len(names):
            raise UsageError(f"{flag} {word}: the network has {len(names)} classes, 0 to {len(names) - 1}")
        return int(word)
    known = {name.casefold(): k for k, name in enumerate(names)}
    wanted = " ".join(word.casefold().split())
    if wanted not in known:
        raise UsageError(f"{flag} '{word}': the network has no such class.{nearest(wanted, known)} Or give its number")
    return known[wanted]


@dataclass(frozen=True)
class Choice:
    """What is explained, as the flags of the same names say it.

    Attributes:
        class_: all clips of a class, for that class; target: another class than the most probable one.
        most: at most so many clips; baseline: as of ``clip.Hidden``.
    """

    class_: str | None = None
    target: str | None = None
    most: int = 16
    baseline: str = "mean"


def chosen(
    network: Network, given: Path, wishes: Wishes, choice: Choice, names: Path | None, config: str
) -> tuple[Answer, list[str], list[Asked]]:
    """The clips that are explained.

    Args:
        names: file of the classes' names; config: how messages call the configuration.

    Returns:
        The answer of the network, its classes' names, and the list of ``Asked``.

    Raises:
        ArchiveError and its kin, UsageError: as ``predict``; a class that is not there; ``--class`` of no archive.
    """
    if is_archive(given):
        wishes = _rows(network, given, wishes, choice, names)
    elif choice.class_ is not None:
        raise UsageError(f"--class is for archives, whose clips have labels, and {given} is none: leave it out")
    answer = predict(network, given, wishes, config)
    told = network.class_names or answer.recordings.class_names
    classes = predictions.class_names(len(answer.rows[0].logits), network.ucla, names, told)
    wanted = choice.class_ if choice.target is None else choice.target
    flag = "--class" if choice.target is None else "--target"
    target = None if wanted is None else class_id(wanted, classes, flag)
    rows = answer.rows[: choice.most]
    if len(rows) < len(answer.rows):
        print(f"the first {len(rows)} of {len(answer.rows)} windows are explained (--clips)", file=sys.stderr)
    return answer, classes, [_asked(network, answer, row, target, choice.baseline) for row in rows]


def _rows(network: Network, given: Path, wishes: Wishes, choice: Choice, names: Path | None) -> Wishes:
    """The wishes with the rows of the archive that are meant: of the class, or the first."""
    if wishes.index is not None or choice.class_ is None:
        if choice.class_ is not None:
            raise UsageError("--class chooses the clips, and --index too: leave one out (--target names another class)")
        return wishes if wishes.index is not None else replace(wishes, index=[0])
    parts = both_splits.open_source(given, split=wishes.split, label_path=wishes.label_path, layout=wishes.layout)
    clips: Clips = parts["test"] if "test" in parts else next(iter(parts.values()))
    count = network.K or clips.num_class or int(clips.labels.max(initial=0)) + 1
    told = network.class_names or clips.class_names
    label = class_id(choice.class_, predictions.class_names(count, network.ucla, names, told), "--class")
    rows = np.flatnonzero(clips.labels == label)
    if not len(rows):
        there = ", ".join(map(str, np.unique(clips.labels)[:20].tolist()))
        raise UsageError(f"--class {choice.class_}: {given} has no clip of class {label}; it has clips of {there}")
    if len(rows) > choice.most:
        print(f"{choice.most} of {len(rows)} clips of the class are explained (--clips)", file=sys.stderr)
        rows = rows[np.linspace(0, len(rows) - 1, choice.most).round().astype(int)]
    return replace(wishes, index=rows.tolist())


def _asked(network: Network, answer: Answer, row: Row, target: int | None, baseline: str) -> Asked:
    recordings, label = answer.recordings, None
    if recordings.labels is not None:
        label = recordings.labels[row.recording]
    if answer.feeder is not None:
        clip = Clip(answer.feeder, row.recording, baseline)
        points = clip.points
    else:
        describe = recordings.described if isinstance(recordings, Unplaced) else lambda clips: clips
        clip = Clip(network.fed([cut(recordings, row)], describe), 0, baseline)
        points = cut(recordings, row, centre=False)
    p = predictions.probabilities(row.logits)
    target = int(p.argmax()) if target is None else target
    return Asked(clip, points, row, recordings.names[row.recording], label, target, float(p[target]))


def layout_of(network: Network, clip: Clip) -> Layout | None:
    """The skeleton of the clip's joints; None where nothing tells it."""
    V, feeder = clip.points.shape[2], network.feeder_class
    said = network.skeleton or clip.skeleton
    usual = None if feeder.usual is None else layouts.layout(feeder.usual)
    kinetics = layouts.layout("coco18")
    return next((each for each in (said, usual, kinetics) if each is not None and each.V == V), None) or (
        layouts.told_by_joints(V)
    )


def wishes_of(options: object) -> Wishes:
    """The wishes among the flags; people are explained together."""
    given = {each.name: getattr(options, each.name) for each in fields(Wishes) if hasattr(options, each.name)}
    return Wishes(**given | {"together": True})
