"""One training step of FreqMixFormer on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

from model.skefreqmixformer import Model

from skeleton_lab.smoke import CLASSES, smoke_test


def build(frames: int) -> Model:
    return Model(num_class=CLASSES, graph="graph.ntu_rgb_d.Graph", frame_size=frames)


if __name__ == "__main__":
    raise SystemExit(smoke_test("FreqMixFormer", build, frames=32))
