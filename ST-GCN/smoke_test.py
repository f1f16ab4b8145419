"""One training step of ST-GCN on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.engine.smoke import CLASSES, smoke_test

if TYPE_CHECKING:
    from net.st_gcn import Model


def build(frames: int) -> Model:
    from net.st_gcn import Model  # here: --help needs no PyTorch

    return Model(
        in_channels=3,
        num_class=CLASSES,
        graph_args={"layout": "ntu-rgb+d", "strategy": "spatial"},
        edge_importance_weighting=True,
        dropout=0.5,
    )


if __name__ == "__main__":
    raise SystemExit(smoke_test("ST-GCN", build, frames=24))
