"""One training step of SkateFormer on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.engine.smoke import CLASSES, smoke_test

if TYPE_CHECKING:
    from model.SkateFormer import SkateFormer


def build(frames: int) -> SkateFormer:
    from model.SkateFormer import SkateFormer_  # here: --help needs no PyTorch

    return SkateFormer_(num_classes=CLASSES, num_people=2, num_points=25, num_frames=frames)


if __name__ == "__main__":
    raise SystemExit(smoke_test("SkateFormer", build, frames=32))
