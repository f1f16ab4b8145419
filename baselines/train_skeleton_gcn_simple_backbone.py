"""Trains convolutions over time, without any graph, on whole clips.  Without --epochs, at most 101 batches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.baselines.recipe import Recipe, program

if TYPE_CHECKING:
    from skeleton_lab.baselines.dataset import NTU60SkeletonDataset
    from skeleton_lab.baselines.models import SimpleSTBackbone


def build(data: NTU60SkeletonDataset) -> SimpleSTBackbone:
    from skeleton_lab.baselines.models import SimpleSTBackbone

    return SimpleSTBackbone(data.num_class)


if __name__ == "__main__":
    program(Recipe(__doc__ or "", build, batch_size=16, steps=101))
