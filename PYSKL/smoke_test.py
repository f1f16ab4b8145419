"""One training step of ST-GCN++ on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.engine.smoke import CLASSES, smoke_test

if TYPE_CHECKING:
    from model.stgcnpp import Model


def build(frames: int) -> Model:
    from model.stgcnpp import Model  # here: --help needs no PyTorch

    return Model(
        {"layout": "nturgb+d", "mode": "spatial"}, CLASSES, gcn_adaptive="init", gcn_with_res=True, tcn_type="mstcn"
    )


if __name__ == "__main__":
    raise SystemExit(smoke_test("PYSKL", build, frames=24))
