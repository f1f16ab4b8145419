"""Training steps per second, over a cycle, of the zero-shot rooms: as published, plain and fused, in one run.

    python -m benchmarks.zero_shot_step

- published: the published loop, a shuffled loader of all sequences made for each step, FS-VAE's gains band after band;
- plain: the same loop around the plain networks and losses;
- fused: what trains; and the same with its random draws in the published order.

All train the same networks on the same random features with the same noise; their losses must agree.  Times are those
of the processor, so that other work on the machine does not count; with one thread that is the time on a free machine.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.data.archives import class_splits
from skeleton_lab.errors import guarded
from skeleton_lab.zero_shot.align.loss_weights import schedule
from skeleton_lab.zero_shot.align.settings import Settings
from skeleton_lab.zero_shot.align.trainer import Trainer
from skeleton_lab.zero_shot.features.feature_folder import Features, Part
from skeleton_lab.zero_shot.model.frequency import FrequencyEncoder, band_edges
from skeleton_lab.zero_shot.model.fused.spectrum import dct, idct
from skeleton_lab.zero_shot.model.objective import VARIANTS, Objective
from skeleton_lab.zero_shot.model.vae import TRAINED
from skeleton_lab.zero_shot.model.variants import build, losses

LENGTH = 1700
CYCLE = 2  # with all terms
TRAINERS = ("fused", "fused, published draws")
STRETCHES = {  # of a cycle, and how many of its steps are of that kind
    range(200, 260): 1001,  # reconstruction alone
    range(1100, 1160): 400,  # with the KL divergence
    range(1500, 1560): 299,  # and with what ties the modalities together
}


class BandByBand(FrequencyEncoder):
    """The gains as the published program computes them: thirty slice products between two FFTs, controls read anew."""

    def enhance(self, x: Tensor) -> Tensor:
        spectrum = dct(x)
        enhanced = spectrum.clone()
        for i, (low, high) in enumerate(itertools.pairwise(band_edges(x.shape[1]))):
            bands, m = self.num_freq_bands.item(), int(self.m.item())
            if high <= self.split_freq.item():
                gain = 1 + self.freq_weights[i] * self.k * (1 - i / bands)
            else:
                gain = 1 - self.freq_weights[i] * self.k * (1 - (i - bands // m) / bands)
            enhanced[:, low:high] = spectrum[:, low:high] * gain
        return idct(enhanced)


class Sequences(torch.utils.data.Dataset):
    def __init__(self, part: Part):
        self.features, self.labels = part.features, part.labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[np.ndarray, int]:
        return self.features[place], int(self.labels[place])


def published_steps(
    nets: nn.ModuleDict, part: Part, table: np.ndarray, objective: Objective, offsets: range
) -> list[float]:  # fmt: skip
    """Steps between two offsets as published, with the losses; of every loader one batch is taken."""
    optimizer = torch.optim.Adam([p for name in TRAINED for p in nets[name].parameters()], lr=1e-4)
    loader = torch.utils.data.DataLoader(Sequences(part), batch_size=64, shuffle=True)
    texts, found = torch.from_numpy(table), []
    for offset in offsets:
        s, y = next(iter(loader))
        eps = torch.stack([torch.randn(len(s), 1), torch.randn(len(s), 1)])
        permutation = torch.arange(len(s))
        if objective.variant == "fsvae":
            permutation = torch.randperm(len(s))
            torch.randperm(len(s))  # drawn and not used
        weights = schedule(CYCLE, LENGTH, offset)
        loss = losses(objective, nets, s, texts[y], eps, permutation, weights)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def fused_steps(trainer: Trainer, offsets: range) -> list[float]:
    """The loop of ``Trainer.steps``, between two offsets."""
    found: list[Tensor] = []
    for drawn in trainer.drawer.cycle(len(offsets), trainer.device):
        for place in range(len(drawn.index)):
            weights = schedule(CYCLE, LENGTH, offsets[len(found)])
            found.append(trainer.step(trainer.data.batch(drawn, place), weights)["loss"])
            trainer.packed.optimizer.step()
    return torch.stack(found).tolist()


def data(rows: int, text_dim: int) -> tuple[Features, np.ndarray, class_splits.Split]:
    """``rows`` sequences of the 55 seen classes of NTU-60, and a class table."""
    random = np.random.RandomState(0)
    split = class_splits.load("r", 5, 60)
    train = Part(np.abs(random.standard_normal((rows, 256))).astype(np.float32), random.choice(split.seen, rows))
    test = Part(train.features[:10], np.repeat(split.unseen, 2))
    table = random.standard_normal((60, text_dim)).astype(np.float32)
    return Features(train, test, test), table / np.linalg.norm(table, axis=1, keepdims=True), split


def compare(variant: str, rows: int, text_dim: int, repeats: int) -> None:
    features, table, split = data(rows, text_dim)
    objective = Objective(variant)
    plain = {"published": build(variant, 256, text_dim, 100), "plain": build(variant, 256, text_dim, 100)}
    for encoder in (plain["published"][name] for name in ("se", "te") if variant == "fsvae"):
        encoder.__class__ = BandByBand
    seconds: dict[str, dict[range, float]] = {name: dict.fromkeys(STRETCHES, math.inf) for name in (*plain, *TRAINERS)}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            name: Trainer(
                Settings(objective, 60, 5, "r", "train", "lb", "random", 100, LENGTH, 5, name != "fused"),
                split, features, table, Path(folder), torch.device("cpu"),
            )
            for name in TRAINERS
        }  # fmt: skip
        start = {key: tensor.clone() for key, tensor in trainers["fused"].networks.state_dict().items()}

        def timed(name: str, offsets: range) -> list[float]:
            """Losses of a stretch from the common start; the least time of a step is kept: other work only adds."""
            nets = plain[name] if name in plain else trainers[name].networks
            nets.load_state_dict(start)
            torch.manual_seed(1)
            began = time.process_time()
            if name in plain:
                found = published_steps(nets, features.train, table, objective, offsets)
            else:
                trainers[name].packed.optimizer.state.clear()
                found = fused_steps(trainers[name], offsets)
            each = (time.process_time() - began) / len(offsets)
            seconds[name][offsets] = min(seconds[name][offsets], each)
            return found

        for offsets in (offsets for _ in range(repeats) for offsets in STRETCHES):
            expected = timed("published", offsets)
            timed("fused", offsets)  # draws of its own
            for name in ("plain", TRAINERS[1]):
                worst = max(worst, float(np.abs(np.divide(timed(name, offsets), expected) - 1).max()))
    rates = {name: LENGTH / sum(STRETCHES[k] * each for k, each in found.items()) for name, found in seconds.items()}
    told = ", ".join(f"{name} {rate:.0f} ({rate / rates['published']:.2f}x)" for name, rate in rates.items())
    print(f"{variant:6} D={text_dim:5}, steps/s: {told}; losses differ by {worst:.1e} at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.zero_shot_step", description=__doc__.split("\n")[0]
    )  # fmt: skip
    parser.add_argument("--rows", type=int, default=33000, help="training sequences (default: %(default)s)")
    parser.add_argument("--text-dims", type=int, nargs="+", default=[512, 1536], help="default: lb, and lb_ad_md")
    parser.add_argument("--repeats", type=int, default=3)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    for variant in VARIANTS:
        for text_dim in flags.text_dims:
            compare(variant, flags.rows, text_dim, flags.repeats)


if __name__ == "__main__":
    sys.exit(guarded(main))
