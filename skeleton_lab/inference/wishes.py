"""What one may ask of a prediction; PyTorch is not needed to ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from types import NoneType

from skeleton_lab.errors import UsageError
from skeleton_lab.inference.keypoints import normalise, reading

WINDOW = 64  # frames, where neither the user nor the configuration tells


@dataclass(frozen=True)
class Wishes:
    """How recordings are to be read and cut, as the flags of ``predict.py`` of the same names.

    Attributes:
        keypoints: order of the joints (``skeletons.schemes.SCHEMES``), where their number does not tell.
        up: which axis of key points is up: "y", "-y", "z" ...
        score: key points with a lower one were not found; None: 0.3.
        window: frames; 0: recordings are taken whole; None: the configuration's, of an archive of one's own the length
            of its clips; and whole clips of an archive.
        stride: frames from window to window; None: half a window.
        together: of two people only both together, not each of them alone.
        split, index, label_path, layout: of an archive: "train" or "test", rows, labels of a .npy, layout.

    Raises:
        UsageError: a number that cannot work, a name that is none.
    """

    keypoints: str | None = None
    up: str | None = None
    score: float | None = None
    window: int | None = None
    stride: int | None = None
    together: bool = False
    split: str | None = None
    index: Sequence[int] | None = None
    label_path: Path | None = None
    layout: str | None = None

    def __post_init__(self) -> None:
        for flag in ("window", "stride"):
            if not isinstance(getattr(self, flag), (Integral, NoneType)):
                raise UsageError(f"--{flag} {getattr(self, flag)!r} must be a whole number of frames")
        if not isinstance(self.score, (Real, NoneType)):
            raise UsageError(f"--score {self.score!r} must be a number")
        rows = () if self.index is None else self.index
        if isinstance(rows, (str, Integral)) or not all(isinstance(row, Integral) for row in rows):
            raise UsageError(f"--index {rows!r} must be rows of the archive: whole numbers")
        if self.up is not None and self.up not in normalise.UP:
            raise UsageError(f"--up {self.up}: choose from {', '.join(normalise.UP)}")
        if self.window is not None and self.window < 0:
            raise UsageError(f"--window {self.window}: frames of a window, or 0 for whole recordings")
        if self.stride is not None and self.stride < 1:
            raise UsageError(f"--stride {self.stride} must be at least 1 frame")
        if self.score is not None and not 0 <= self.score < math.inf:
            raise UsageError(f"--score {self.score:g} must be 0 or more; the scores of most pose estimators end at 1")

    @property
    def least_score(self) -> float:
        return reading.SCORE if self.score is None else self.score
