"""One training step of DeGCN on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.engine.smoke import CLASSES, smoke_test

if TYPE_CHECKING:
    from model.degcn import Model


def build(frames: int) -> Model:
    from model.degcn import Model  # here: --help needs no PyTorch

    return Model(num_class=CLASSES, graph="graph.ntu_rgb_d.Graph", graph_args={"labeling_mode": "spatial"})


if __name__ == "__main__":
    raise SystemExit(smoke_test("DeGCN", build, frames=24))
