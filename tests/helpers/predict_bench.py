"""A room with a small configuration and untrained weights, in which a test runs predict.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from sandbox import Lab

from skeleton_lab import inference, registry
from skeleton_lab.inference.network import Network
from skeleton_lab.skeletons.figure import places as figure
from skeleton_lab.skeletons.schemes import COCO17
from skeleton_lab.utils.importing import import_class

# room, configuration, changes of the test feeder and of the network that make it small
CASES = {
    "CTR-GCN": ("config/nturgbd-cross-subject/default.yaml", {"window_size": 16}, {}),
    "CTR-GCN-ucla": ("config/ucla/default.yaml", {}, {}),
    "MS-G3D": ("config/nturgbd-cross-subject/train_joint_kaggle.yaml", {"window_size": 16}, {}),
    "MS-G3D-bone": ("config/nturgbd-cross-subject/train_bone.yaml", {"window_size": 16}, {}),
    "FreqMixFormer": ("config/nturgbd-cross-subject/motion.yaml", {}, {}),
    "SkateFormer": ("config/train/ntu_cs/SkateFormer_bm.yaml", {}, {}),
    "Hyper-GCN": ("config/base/nturgbd-cross-subject/hyper_joint.yaml", {"window_size": 16}, {}),
    "ST-GCN": ("config/st_gcn/ntu-xsub/train.yaml", {}, {}),
}


class Bench:
    """A room with a small configuration and untrained weights; ``bench(line)`` runs its predict.py here."""

    def __init__(self, lab: Lab, case: str, tmp_path: Path):
        self.lab, self.tmp = lab, tmp_path
        config, feeder, model = CASES[case]
        self.room = lab.enter(case.removesuffix("-ucla").removesuffix("-bone"))
        given = yaml.safe_load((self.room.path / config).read_text())
        given["test_feeder_args"] |= feeder
        given["model_args"] |= model
        self.config = tmp_path / "small.yaml"
        self.config.write_text(yaml.safe_dump(given))
        self.given = given
        torch.manual_seed(0)
        with registry.room(self.room.folder):
            net = import_class(given["model"])(**given["model_args"])
        net.apply(self._settle)
        self.weights = tmp_path / "weights.pt"
        torch.save(net.state_dict(), self.weights)
        self.output = tmp_path / "out"

    @staticmethod
    def _settle(module) -> None:
        """Untrained last layers are so small that every clip would look alike."""
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.3)

    def __call__(self, line: str, file: Path) -> int:
        argv = [
            "--config", str(self.config), "--weights", str(self.weights), "--input", str(file), "--output",
            str(self.output), *line.split(),
        ]  # fmt: skip
        with registry.room(self.room.folder):
            return inference.run(self.room.recipe, str(self.room.path / "predict.py"), argv)

    def result(self) -> dict:
        return json.loads((self.output / "predictions.json").read_text())

    def network(self) -> Network:
        with registry.room(self.room.folder):
            return Network(self.room.recipe, self.room.path, self.config, self.weights, "cpu")


def walkers(frames: int = 50, persons: int = 2) -> np.ndarray:
    """COCO key points (T, M, 17, 3) in pixels; the second person comes after 30 frames."""
    rng = np.random.default_rng(3)
    at = figure(COCO17)
    x = np.zeros((frames, persons, 17, 3))
    for t in range(frames):
        for m in range(persons):
            x[t, m, :, :2] = at * [200, -200] + [300 + 250 * m + t, 500] + rng.normal(0, 2, (17, 2))
            x[t, m, 9:11, 1] -= 60 * np.sin(t / 4)
            x[t, m, :, 2] = 0.9
    x[:30, 1:] = 0
    return x
