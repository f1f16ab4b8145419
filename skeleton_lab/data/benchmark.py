"""How fast an archive is fed: ``python -m skeleton_lab.data.benchmark --data-path NTU60_CS.npz``.

Prints the time per sample, with the first touch of every clip (which counts its frames) and without, the time from
opening the archive to the first batch, and the largest resident memory apart from mapped files. Processor time is what
a busy machine does not distort; elapsed time includes waiting for the disk.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from skeleton_lab.data.feeder import Batch, Feeder
from skeleton_lab.data.ntu_feeder import NTUFeeder
from skeleton_lab.errors import guarded


@dataclass
class Figures:
    """Results of one measurement; memory is NaN where the system does not tell."""

    first_batch_seconds: float
    first_touch_ms: tuple[float, float]  # per sample: processor, elapsed
    later_ms: tuple[float, float]
    anonymous_mib: float


def anonymous_memory() -> float:
    """Resident memory of this process that is not backed by a file, in MiB."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), float("nan"))


def measure(open_feeder: Callable[[], Feeder], batch_size: int, batches: int) -> Figures:
    """Time shuffled batches: once over clips not seen before, once more over the same clips; medians."""
    begin = time.perf_counter()
    feeder = open_feeder()
    order = np.random.default_rng(0).permutation(len(feeder))[: (batches + 1) * batch_size]
    parts = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    feeder.__getitems__(Batch(parts[0]))
    first_batch = time.perf_counter() - begin
    peak = anonymous_memory()
    medians = []
    for epoch in (0, 1):
        spent = []
        for part in parts[1:] or parts:
            start = np.array([time.process_time(), time.perf_counter()])
            feeder.__getitems__(Batch(part, epoch))
            spent.append((np.array([time.process_time(), time.perf_counter()]) - start) / len(part))
            peak = max(peak, anonymous_memory())
        medians.append(tuple((np.median(spent, axis=0) * 1e3).tolist()))
    return Figures(first_batch, medians[0], medians[1], peak)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m skeleton_lab.data.benchmark", description=__doc__)
    parser.add_argument("--data-path", required=True, help="archive of NTU RGB+D clips")
    parser.add_argument("--label-path", help="labels of a .npy archive")
    parser.add_argument("--split", default="train", help="train: random crop and rotation; test: centre crop")
    parser.add_argument("--window-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bone", action="store_true")
    parser.add_argument("--vel", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    train = given.split == "train"
    figures = measure(
        lambda: NTUFeeder(
            given.data_path, given.label_path, [0.5, 1] if train else [0.95], given.split, random_rot=train,
            window_size=given.window_size, bone=given.bone, vel=given.vel,
        ),
        given.batch_size,
        given.batches,
    )  # fmt: skip
    print(f"first batch, from opening the archive: {figures.first_batch_seconds:.2f} s")
    for when, (processor, elapsed) in (("at first touch", figures.first_touch_ms), ("later", figures.later_ms)):
        print(f"per sample {when}: {processor:.3f} ms of processor time, {elapsed:.3f} ms elapsed")
    print(f"peak memory without mapped files: {figures.anonymous_mib:.0f} MiB")


if __name__ == "__main__":
    raise SystemExit(guarded(main))
