"""Groups of clips: of one subject, camera or setup, as the archive or the clips' names tell, and of like length.

    NTU RGB+D     S001C002P003R001A060                          setup 1, camera 2, subject 3
    NW-UCLA       a01_s02_e03_v01                               subject 2, camera ("view") 1
    UAV-Human     P003S00G10B10H50UC022LC021A000R0_08241716     subject 3

Names that only count rows, as the published files of NTU RGB+D make of theirs, tell all the same where the number of
clips and every label are those of a published test list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_lab.data.archives import ntu_published
from skeleton_lab.data.archives.ntu_protocol import PATTERN as NTU_NAME
from skeleton_lab.data.archives.sample_names import numbered

UCLA_NAME = re.compile(r"a(\d\d)_s(\d\d)_e\d\d_v(\d\d)")  # action, subject, episode, view
UAV_NAME = re.compile(r"P(?P<subject>\d+)S\d+G\d+B\d+H\d+UC\d+LC\d+A(?P<action>\d{3})R\d+_\d+")
KINDS = ("subject", "camera", "setup")
NOT_TOLD = -1
QUARTERS = 4
# A pattern, and the number of the group of it that tells each kind.
FORMS: tuple[tuple[re.Pattern[str], dict[str, int]], ...] = (
    (NTU_NAME, {"setup": 1, "camera": 2, "subject": 3}),
    (UCLA_NAME, {"subject": 2, "camera": 3}),
    (UAV_NAME, {"subject": 1}),
)


def groups(names: Sequence[Any] | np.ndarray, labels: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The number of every clip's subject, camera and setup, as far as the names tell.

    Args:
        names: of N clips; what stands before or behind the pattern (``test_``, ``.skeleton``) does not matter.
        labels: (N,) classes, by which the clips of a published file of NTU RGB+D are known that have no names.

    Returns:
        Of ``KINDS`` those that a name tells: (N,) int64, ``NOT_TOLD`` for a clip whose name does not.
    """
    if labels is not None and len(names) and numbered(names):
        known = ntu_published.names_of_rows({"test": np.asarray(labels)})
        names = known[1]["test"] if known is not None else names
    found = {kind: np.full(len(names), NOT_TOLD, np.int64) for kind in KINDS}
    for row, name in enumerate(names):
        for pattern, places in FORMS:
            if match := pattern.search(str(name)):
                for kind, place in places.items():
                    found[kind][row] = int(match[place])
                break
    return {kind: numbers for kind, numbers in found.items() if (numbers != NOT_TOLD).any()}


def of_clips(
    names: np.ndarray | None, labels: np.ndarray, subjects: np.ndarray | None
) -> dict[str, tuple[np.ndarray, list[str]]]:
    """What is known of N clips, by kind: the group of each clip, (N,) places in the groups' names, -1 for none.

    Args:
        names: (N,) text. labels: (N,) classes. subjects: (N,) numbers or text, that the archive tells; they go before
            those of the names.
    """
    found = {} if names is None else groups(names, labels)
    if subjects is not None:
        found = {"subject": subjects, **{kind: values for kind, values in found.items() if kind != "subject"}}
    return {kind: _coded(values) for kind, values in found.items()}


def _coded(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    told = values != NOT_TOLD if values.dtype.kind in "iu" else np.ones(len(values), bool)
    names, places = np.unique(values[told], return_inverse=True)
    codes = np.full(len(values), -1)
    codes[told] = places.reshape(-1)
    return codes, [str(name) for name in names.tolist()]


def by_length(frames: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Quarters of the clips by their recorded frames (N,): the quarter of each, and what they are called.

    Equal lengths stay together, so quarters may differ in size.
    """
    shares = np.linspace(0, 1, QUARTERS + 1)[1:]
    edges = np.unique(np.quantile(frames, shares, method="inverted_cdf"))  # the last of each
    codes = np.searchsorted(edges, frames)
    ends = zip([int(frames.min()), *(edges[:-1] + 1).tolist()], edges.tolist())
    return codes, [f"{first} to {last}" if first < last else f"{last}" for first, last in ends]


def subjects_of(names: Sequence[str] | None) -> np.ndarray | None:
    """(N,) int64 subject of each clip by its name; None unless all tell."""
    found = groups(names or ()).get("subject")
    return None if found is None or (found == NOT_TOLD).any() else found
