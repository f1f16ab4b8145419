"""Training steps per second, over a cycle, of the lab and of the published loop.

    python tests/reference/time_zero_shot.py

Both train the same networks on the same random features with the same noise; their losses must agree.  Times are those
of the processor, so that other work on the machine does not count; with one thread that is the time on a free machine.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import zero_shot as plain

from skeleton_lab.data.archives import class_splits
from skeleton_lab.zero_shot.align.loss_weights import Objective, schedule
from skeleton_lab.zero_shot.align.settings import Settings
from skeleton_lab.zero_shot.align.trainer import Trainer
from skeleton_lab.zero_shot.features.feature_folder import Features, Part

LENGTH = 1700
PROGRAMS = ("plain", "ours", "replay")
STRETCHES = {  # of a cycle, and how many of its steps are of that kind
    range(200, 260): 1001,  # reconstruction alone
    range(1100, 1160): 400,  # with the KL divergence
    range(1500, 1560): 299,  # and with what ties the modalities together
}


def data(rows: int, text_dim: int) -> tuple[Features, np.ndarray, class_splits.Split]:
    """``rows`` sequences of the 55 seen classes of NTU-60, and a class table."""
    random = np.random.RandomState(0)
    split = class_splits.load("r", 5, 60)
    train = Part(np.abs(random.standard_normal((rows, 256))).astype(np.float32), random.choice(split.seen, rows))
    test = Part(train.features[:10], np.repeat(split.unseen, 2))
    table = random.standard_normal((60, text_dim)).astype(np.float32)
    return Features(train, test, test), table / np.linalg.norm(table, axis=1, keepdims=True), split


def ours(trainer: Trainer, offsets: range, cycle: int) -> list[float]:
    """The loop of ``Trainer.steps``, between two offsets."""
    losses = []
    for drawn in trainer.drawer.cycle(len(offsets), trainer.device):
        for place in range(len(drawn.index)):
            weights = schedule(cycle, LENGTH, offsets[len(losses)])
            losses.append(trainer.step(trainer.data.batch(drawn, place), weights)["loss"])
            trainer.packed.optimizer.step()
    return torch.stack(losses).tolist()


def compare(variant: str, rows: int, text_dim: int, repeats: int) -> None:
    features, table, split = data(rows, text_dim)
    seconds: dict[str, dict[range, float]] = {name: dict.fromkeys(STRETCHES, math.inf) for name in PROGRAMS}

    def note(name: str, offsets: range, began: float) -> None:
        """The least time of a step: whatever else is done on the machine only adds to it."""
        each = (time.process_time() - began) / len(offsets)
        seconds[name][offsets] = min(seconds[name][offsets], each)

    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            name: Trainer(
                Settings(Objective(variant), 60, 5, "r", "train", "lb", "random", 100, LENGTH, 5, name == "replay"),
                split, features, table, Path(folder), torch.device("cpu"),
            )
            for name in ("ours", "replay")
        }  # fmt: skip
        nets = plain.build(variant, 256, text_dim, 100)
        start = {name: tensor.clone() for name, tensor in trainers["replay"].networks.state_dict().items()}
        nets.load_state_dict(start)
        worst = 0.0
        for _ in range(repeats):
            for offsets in STRETCHES:
                losses: list[float] = []
                torch.manual_seed(1)
                began = time.process_time()
                plain.train(
                    nets, features.train.features, features.train.labels, table, variant, 2, LENGTH, offsets, losses
                )
                note("plain", offsets, began)
                for name, trainer in trainers.items():
                    torch.manual_seed(1)
                    began = time.process_time()
                    found = ours(trainer, offsets, 2)
                    note(name, offsets, began)
                    if name == "replay":
                        worst = max(worst, float(np.abs(np.divide(found, losses) - 1).max()))
                nets.load_state_dict(start)  # every stretch begins alike
                trainers["replay"].networks.load_state_dict(start)
                trainers["replay"].packed.optimizer.state.clear()
    rates = {name: LENGTH / sum(STRETCHES[k] * each for k, each in found.items()) for name, found in seconds.items()}
    ours_, replay = (f"{rates[name]:6.0f} ({rates[name] / rates['plain']:.2f}x)" for name in ("ours", "replay"))
    print(
        f"{variant:6} D={text_dim:5}: plain {rates['plain']:6.0f} steps/s, ours {ours_}, in the published order of "
        f"draws {replay}; losses differ by {worst:.1e} at most",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=33000, help="training sequences (default: %(default)s)")
    parser.add_argument("--text-dims", type=int, nargs="+", default=[512, 1536], help="default: lb, and lb_ad_md")
    parser.add_argument("--repeats", type=int, default=3)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    for variant in ("msf", "fsvae"):
        for text_dim in flags.text_dims:
            compare(variant, flags.rows, text_dim, flags.repeats)


if __name__ == "__main__":
    main()
