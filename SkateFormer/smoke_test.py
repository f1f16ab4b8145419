"""One training step of SkateFormer on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

from model.SkateFormer import SkateFormer, SkateFormer_

from skeleton_lab.smoke import CLASSES, smoke_test


def build(frames: int) -> SkateFormer:
    return SkateFormer_(num_classes=CLASSES, num_people=2, num_points=25, num_frames=frames)


if __name__ == "__main__":
    raise SystemExit(smoke_test("SkateFormer", build, frames=32))
