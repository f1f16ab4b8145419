"""SkateFormer's feeders and the arguments of their published training."""

from __future__ import annotations

from skeleton_lab import registry

augment = registry.load("SkateFormer", "feeders.augment")
Feeder = registry.load("SkateFormer", "feeders.feeder_ntu.Feeder")
Inter = registry.load("SkateFormer", "feeders.feeder_ntu_inter.Feeder")
UCLA = registry.load("SkateFormer", "feeders.feeder_ucla.Feeder")
PUBLISHED = {
    "split": "train", "aug_method": "a123489", "intra_p": 0.5, "inter_p": 0.2, "window_size": 64, "thres": 64,
    "p_interval": [0.5, 1], "uniform": True, "partition": True,
}  # fmt: skip
EVERYTHING = {**PUBLISHED, "aug_method": "ab123456789"}
