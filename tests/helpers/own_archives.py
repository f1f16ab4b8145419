"""Archives of people's own, tiny: any skeleton, in space or in a picture, with scores and names of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.skeletons import layouts

CLASSES = ("drift", "rest", "sink")


def save_own(path: Path, skeleton: str, channels: str = "", frames: int = 10, people: int = 1, counts=(6, 3)) -> Path:
    """A 5-D NPZ with ``counts`` clips of training and test, whose class is how fast everybody goes along x."""
    layout, rng = layouts.layout(skeleton), np.random.default_rng(len(skeleton))
    flat = layout.dimensions == 2
    C, scored = about.CHANNELS[channels or ("xys" if flat and layout.scored else "xy" if flat else "xyz")]
    words = {"skeleton": about.written(layout), "channels": channels or ("xyz", "xy", "xys")[flat + (flat and scored)]}
    arrays = {key: np.array(value) for key, value in words.items()}
    for split, count in zip(("train", "test"), counts):
        labels = np.arange(count) % len(CLASSES)
        x = rng.normal(300, 50, (count, C, 1, layout.V, people)) + rng.normal(
            0, 5, (count, C, frames, layout.V, people)
        )
        x[:, 0] += 20 * labels[:, None, None, None] * np.arange(frames)[:, None, None]
        if scored:
            x[:, -1] = rng.uniform(0.1, 1, x[:, -1].shape)
        arrays |= {f"x_{split}": x.astype(np.float32), f"y_{split}": labels}
    np.savez(path, units=np.array("px" if flat else "mm"), class_names=np.array(CLASSES), **arrays)
    return path
