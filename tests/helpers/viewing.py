"""``view.py`` on the archive of ``tests/unit/reporting/conftest.py``, and what its pictures are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from skeleton_lab.reporting.viewer.__main__ import main

PAIR, ALONE = 59, 22  # classes of the archive: walking apart, hand waving


def view(*words: object) -> int:
    return main([*map(str, words), "--quiet"])


def row_of(arrays, label: int, split: str = "test") -> int:
    return int(np.flatnonzero(arrays[f"y_{split}"].argmax(1) == label)[0])


def hues(picture: Any) -> tuple[int, int]:
    """How many pixels of a PIL image are plainly blue and plainly orange."""
    r, _, b = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), -1, 0)
    return int((b - r > 60).sum()), int((r - b > 60).sum())
