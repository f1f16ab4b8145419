"""Trains a small graph network on whole clips for a few epochs; reads the Kaggle file and the CTR layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.baselines.recipe import Recipe, program

if TYPE_CHECKING:
    from skeleton_lab.baselines.dataset import NTU60SkeletonDataset
    from skeleton_lab.baselines.models import STGCNBackbone


def build(data: NTU60SkeletonDataset) -> STGCNBackbone:
    from skeleton_lab.baselines.models import STGCNBackbone

    return STGCNBackbone(data.num_class)


if __name__ == "__main__":
    program(Recipe(__doc__ or "", build, epochs=5))
