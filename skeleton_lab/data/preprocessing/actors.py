"""Who is who in a recording: bodies by their id, and which of them are people (pipelines of CTR-GCN and PYSKL)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.preprocessing.skeleton_text import Recording
from skeleton_lab.errors import ArchiveError

SHORTEST = 11  # frames; a body that is there no longer than that is noise
FLATTEST = 0.8  # width over height of a standing person
WORST = 0.69754  # share of frames in which a body is flatter


@dataclass
class Body:
    """One id of a recording.  It occupies valid frames ``start`` to ``end``, whatever the gaps in between were."""

    id: str
    start: int
    joints: np.ndarray  # (L, 25, 3) float32
    colors: np.ndarray | None = None  # (L, 25, 2) float32
    motion: float = 0.0

    @property
    def end(self) -> int:
        """Its last frame: a body that disappears and comes back is closed up, as published."""
        return self.start + len(self.joints) - 1


@dataclass
class Scene:
    """The bodies of a recording in order of appearance; ``frames`` of it show anybody, ``dropped`` do not."""

    bodies: list[Body]
    frames: int
    dropped: list[int]
    warnings: list[str]


def scene(recording: Recording) -> Scene:
    """Sort a recording by body.

    Raises:
        ArchiveError: nobody is in it.
    """
    rows: dict[str, list[int]] = {}
    start: dict[str, int] = {}
    dropped, twice, frame = [], 0, 0
    for number, present in enumerate(recording.rows()):
        if not present:
            dropped.append(number)
            continue
        seen = set()
        for row in present:
            name = recording.ids[row]
            if name in seen:
                twice += 1
                continue
            seen.add(name)
            start.setdefault(name, frame)
            rows.setdefault(name, []).append(row)
        frame += 1
    if not rows:
        raise ArchiveError("nobody is in any of its frames")
    joints = recording.joints.astype(np.float32)
    colors = recording.colors
    bodies = [Body(name, start[name], joints[at], None if colors is None else colors[at]) for name, at in rows.items()]
    warnings = [f"one id twice in a frame, {twice} times: the first counts"] if twice else []
    return Scene(bodies, frame, dropped, warnings)


def motion(joints: np.ndarray) -> float:
    """Sum over x, y, z of the variance over frames and joints, in float32 as published."""
    return float(np.sum(np.var(joints.reshape(-1, 3), axis=0)))


def upright(joints: np.ndarray) -> np.ndarray:
    """(L,) bool: frames in which a body (L, 25, 3) is not flatter than a standing person."""
    extent = (joints.max(axis=1) - joints.min(axis=1)).astype(np.float64)  # ranges in float32, the product in float64
    return extent[:, 0] <= FLATTEST * extent[:, 1]


def overlap(a: tuple[int, int], b: Body) -> int:
    """Frames between the later start and the earlier end; 0 for a single shared frame."""
    return min(a[1], b.end) - max(a[0], b.start)
