"""The viewer on the archive of ``tests/unit/reporting/conftest.py``."""

from __future__ import annotations

import numpy as np
from PIL.Image import Image

from skeleton_lab.reporting.viewer.__main__ import main

PAIR, ALONE = 59, 22  # classes of the archive: walking apart, hand waving


def row_of(arrays, label: int, split: str = "test") -> int:
    return int(np.flatnonzero(arrays[f"y_{split}"].argmax(1) == label)[0])


def view(*words: object) -> int:
    return main([*map(str, words), "--quiet"])


def hues(picture: Image) -> tuple[int, int]:
    """How many pixels are plainly blue and plainly orange."""
    r, _, b = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), -1, 0)
    return int((b - r > 60).sum()), int((r - b > 60).sum())
