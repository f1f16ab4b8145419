"""How to tell a file whose columns were read in a wrong order (see ``column_order``): by the traces that it leaves."""

from __future__ import annotations

import copy
import logging

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.errors import ArchiveError

log = logging.getLogger("skeleton_lab")

SAMPLED = 256  # clips that the check looks at, evenly spaced
ENOUGH = 0.1  # share of them that must show the trace of a wrong order
LOWER_JOINTS = 13  # with order vcm a one-person clip fills joints 0..12 only


def refuse_scrambled(clips: Clips) -> None:
    """Look for the traces that the wrong orders leave in a 5-D file of unknown origin; changes nothing.

    Raises:
        ArchiveError: the file was scrambled; the message names the way to repair it.
    """
    if (clips.C, clips.V, clips.M) != (3, 25, 2):
        return
    count = min(len(clips), SAMPLED)
    sampled = np.linspace(0, len(clips) - 1, count).astype(np.int64)
    seen = np.zeros(4, np.int64)
    for start in range(0, count, 16):
        idx = sampled[start : start + 16]
        looked = copy.copy(clips)  # with a map of its own: the pages read through it go when it does
        seen += traces(looked.gather(idx, np.broadcast_to(np.arange(clips.T), (len(idx), clips.T))))
    order = verdict(seen, count)
    if order:
        raise ArchiveError(
            f"{clips.path}: {clips.key} was written by a converter that mixed up joints, axes and persons "
            f"(column order {order}): convert the Kaggle file again, or read this one with "
            f"layout='repair-{order}' (layout='5d' takes it as it is)"
        )
    if not seen[2:].any():
        log.warning(
            "%s: %s shows two different persons in every clip looked at: a selection of two-person classes, or "
            "scrambled by an old converter; layout='5d' says that it is right", clips.path, clips.key
        )  # fmt: skip


def verdict(seen: np.ndarray, count: int) -> str | None:
    """The wrong order that the ``traces`` of ``count`` clips tell of, "vcm" or "cvm", or None."""
    upper_empty, z_empty, one_person, _ = seen
    if one_person:
        return None
    return next((order for trace, order in ((upper_empty, "vcm"), (z_empty, "cvm")) if trace >= ENOUGH * count), None)


def traces(x: np.ndarray) -> np.ndarray:
    """How many of the clips x (B, T, M=2, V=25, C=3) show each trace (4,).

    Only joints 0..12 in use; no z; one person with joints 13..24; slot 1 idle or the same as slot 0.
    """
    used = x.any(axis=1)  # (B, M, V, C)
    upper = used[:, :, LOWER_JOINTS:]
    null = ~used[:, 1].any(axis=(1, 2))
    same = (x[:, :, 0] == x[:, :, 1]).all(axis=(1, 2, 3))
    return np.array(
        [
            (used.any(axis=(1, 2, 3)) & ~upper.any(axis=(1, 2, 3))).sum(),
            (~used[..., 2].any(axis=(1, 2)) & used[..., 0].any(axis=(1, 2))).sum(),
            (null & upper[:, 0].any(axis=(1, 2))).sum(),
            (null | same).sum(),
        ]
    )
