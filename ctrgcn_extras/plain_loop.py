"""CTR-GCN in the loop of the small scripts: what the two beside this one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skeleton_lab.baselines.recipe import Recipe
from skeleton_lab.data.archives.locate import DEFAULTS
from skeleton_lab.registry import room
from skeleton_lab.utils.importing import import_class

if TYPE_CHECKING:
    from torch import nn

    from skeleton_lab.baselines.dataset import NTU60SkeletonDataset

PATHS = ("/workspace/CTR-GCN/data/ntu/NTU60_CS_ctrgcn.npz", *DEFAULTS[1:], DEFAULTS[0])


def build(data: NTU60SkeletonDataset) -> nn.Module:
    from skeleton_lab.engine.network import construct

    with room("CTR-GCN"):
        graph = {"graph": "graph.ntu_rgb_d.Graph", "graph_args": {"labeling_mode": "spatial"}}
        name = "model.ctrgcn.Model"
        return construct(import_class(name), name, {"num_class": data.num_class, **graph})


SHORT = Recipe("Train CTR-GCN for 101 batches of whole clips: does it learn?", build, batch_size=16, steps=101,
               paths=PATHS)  # fmt: skip
FULL = Recipe("Train CTR-GCN on whole clips for 10 epochs, with test accuracy after each.", build, batch_size=16,
              epochs=10, every=50, test=True, paths=PATHS)  # fmt: skip
