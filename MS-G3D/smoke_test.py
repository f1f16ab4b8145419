"""One training step of MS-G3D on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.engine.smoke import CLASSES, smoke_test

if TYPE_CHECKING:
    from model.msg3d import Model


def build(frames: int) -> Model:
    from model.msg3d import Model  # here: --help needs no PyTorch

    return Model(CLASSES, 25, 2, num_gcn_scales=13, num_g3d_scales=6, graph="graph.ntu_rgb_d.AdjMatrixGraph")


if __name__ == "__main__":
    raise SystemExit(smoke_test("MS-G3D", build, frames=24))
