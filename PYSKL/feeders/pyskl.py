"""PYSKL's own names: ``Compose``, and the data set with the arguments and items of published code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from feeders import feeder_pyskl
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.pyskl_compose import Compose

__all__ = ["Compose", "Feeder"]


class Feeder(feeder_pyskl.Feeder):
    """``PoseDataset``: items are (keypoint (clips, M, T, V, C) float32, label, index), with one clip too.

    Args:
        ann_file: pickle; pipeline: its steps; split: a list of the pickle, None of a plain list of annotations.
        test_mode: whether the frames are those of a test; times: RepeatDataset's.
    """

    required = ()

    def __init__(
        self,
        ann_file: Any,
        pipeline: Sequence[dict[str, Any]],
        split: str | None = None,
        test_mode: bool = False,
        times: int = 1,
        **more: Any,
    ) -> None:
        super().__init__(ann_file, split, pipeline, test_mode, times=times, **more)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, int]:
        work = self.work(Batch([index], self.epoch))
        return work.x[0].numpy(), int(self.label[work.sample[0]]), index
