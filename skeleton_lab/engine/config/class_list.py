"""``--classes``: train and evaluate on some of the classes. Labels stay global, the network keeps all its outputs."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from skeleton_lab.data.archives import class_splits
from skeleton_lab.data.archives.ntu_protocol import ONE_SHOT_NOVEL
from skeleton_lab.errors import UsageError

if TYPE_CHECKING:
    from torch.utils.data import Dataset

SETTINGS = ((60, 5), (60, 12), (120, 10), (120, 24))  # published: number of classes, unseen among them
SIDES = {side: (phase, kind) for side, phase, kind in (
    ("seen", "train", "seen"), ("unseen", "train", "unseen"), ("val_seen", "val", "seen"),
    ("val_unseen", "val", "unseen"),
)}  # fmt: skip
ONE_SHOT = "ntu120_one_shot"  # with :auxiliary (100 classes) or :novel (20)
LARGEST = 100_000  # class index; a range up to 10**12 is a typing error


def _published() -> dict[str, Callable[[], np.ndarray]]:
    """Name -> classes: ``ntu60_55_5:seen`` and the file name ``rs55`` are the same."""
    found: dict[str, Callable[[], np.ndarray]] = {}
    for n, s in SETTINGS:
        for side, (phase, kind) in SIDES.items():

            def classes(n: int = n, s: int = s, phase: str = phase, kind: str = kind) -> np.ndarray:
                return getattr(class_splits.load("r", s, n, phase), kind)

            found[f"ntu{n}_{n - s}_{s}:{side}"] = classes
            found[class_splits.names("r", s, n, phase)[kind == "unseen"]] = classes
    novel = np.array(ONE_SHOT_NOVEL)
    found[f"{ONE_SHOT}:novel"] = lambda: novel
    found[f"{ONE_SHOT}:auxiliary"] = lambda: np.setdiff1d(np.arange(120), novel)
    return found


def parse(text: str, place: str = "--classes") -> np.ndarray:
    """Classes, ascending and without repetition, int64.

    Args:
        text: numbers and ranges separated by commas or blanks, ``0-9,12``, among them names of published splits:
            ``ntu60_55_5:seen`` (also unseen, val_seen, val_unseen) or ``rs55``, ``ntu120_one_shot:auxiliary``.

    Raises:
        UsageError: anything else; the word is named.
    """
    named, chosen = _published(), set()
    for word in re.split(r"[,\s]+", text.strip(", \t\n[]")):
        span = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", word)
        if word in named:
            chosen.update(named[word]().tolist())
        elif span and int(span[1]) <= (last := int(span[2] or span[1])) <= LARGEST:
            chosen.update(range(int(span[1]), last + 1))
        else:
            examples = ", ".join(name for name in named if ":seen" in name)
            raise UsageError(
                f"{place}: '{word}' names no classes; numbers and ranges such as 0-9,12 do, or a split: {examples}, "
                "with :unseen, :val_seen or :val_unseen for its other sides"
            )
    return np.array(sorted(chosen), np.int64)


def only(feeder: Any, options: Namespace, outputs: int | None, split: str) -> Dataset:
    """The feeder, restricted to the clips of ``--classes`` where that is given.

    Raises:
        UsageError: a class that the network has no output for, a feeder that cannot be restricted, no clip left.
    """
    if options.classes is None:
        return feeder
    chosen = parse(options.classes)
    if outputs is not None and chosen[-1] >= outputs:
        raise UsageError(
            f"--classes: class {chosen[-1]} is not among the network's 0..{outputs - 1}; labels stay as they are in "
            "the archive, so the number of classes in --model-args remains the number of all classes"
        )
    if not hasattr(feeder, "restrict"):
        raise UsageError(f"--classes: {options.feeder} has no method restrict(indices) to choose clips with")
    rows = np.flatnonzero(np.isin(np.asarray(feeder.label), chosen))
    if not len(rows):
        raise UsageError(f"--classes {options.classes}: the {split} data holds no clip of these classes")
    feeder.restrict(rows)
    return feeder
