"""Trains an MLP on whole clips: is the archive readable, does the loss go down?  Without --epochs, 51 batches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.baselines.recipe import Recipe, program

if TYPE_CHECKING:
    from skeleton_lab.baselines.dataset import NTU60SkeletonDataset
    from skeleton_lab.baselines.models import SimpleMLP


def build(data: NTU60SkeletonDataset) -> SimpleMLP:
    from skeleton_lab.baselines.models import COORDINATES, JOINTS, PERSONS, SimpleMLP

    return SimpleMLP(data.clips.T * PERSONS * JOINTS * COORDINATES, data.num_class)


if __name__ == "__main__":
    program(Recipe(__doc__ or "", build, num_worker=0, steps=51, header=False))
