"""How fast an archive is fed: ``python -m benchmarks.data_loading --data-path NTU60_CS.npz --room SkateFormer``.

Prints the time per sample, with the first touch of every clip (which counts its frames) and without, the time from
opening the archive to the first batch, and the largest resident memory apart from mapped files. Processor time is what
a busy machine does not distort; elapsed time includes waiting for the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skeleton_lab import registry
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser, check_sizes

if TYPE_CHECKING:  # --help needs no PyTorch, so the functions import it
    from skeleton_lab.data.feeders.base import Feeder


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
    from skeleton_lab.data.feeders.base import Batch

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


def feeder_of(room: str, config: str | None, split: str, changes: dict[str, Any]) -> Callable[[], Feeder]:
    """What opens the feeder of a room's configuration, with some of its arguments changed.

    Raises:
        UsageError: there is no such room, file or class.
    """
    place = registry.find(room)
    if place.config is None:
        raise UsageError(f"--room {room}: it reads features, not clips; choose a supervised room")
    given = yaml_file.read(place.path / (config or place.config))
    if "feeder" not in given:
        raise UsageError(f"--config {config}: there is no key 'feeder' in it")
    kind = registry.load(room, given["feeder"], "feeder")
    arguments = given.get(f"{split}_feeder_args") or {}
    return lambda: kind(**{**arguments, **{name: value for name, value in changes.items() if value is not None}})


def main() -> None:
    parser = Parser(prog="python -m benchmarks.data_loading", description=__doc__)
    parser.add_argument("--data-path", required=True, help="archive of clips")
    parser.add_argument("--label-path", help="labels of a .npy archive")
    parser.add_argument("--layout", help="of the archive, where its content does not tell: pyskl:1 ...")
    parser.add_argument("--room", default="CTR-GCN", help="whose feeder")
    parser.add_argument("--config", help="YAML file with the feeder's arguments, relative to the room's folder")
    parser.add_argument("--split", default="train", choices=["train", "test"], help="train: with the augmentations")
    parser.add_argument("--window-size", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bone", action="store_true", default=None, help="of feeders with such an argument")
    parser.add_argument("--vel", action="store_true", default=None)
    parser.add_argument("--trust-code", action="store_true", help=trust.HELP)
    given = parser.parse_args()
    check_sizes(given, "batch_size", "batches", "threads")
    import torch

    torch.set_num_threads(given.threads)
    names = ("data_path", "label_path", "layout", "window_size", "bone", "vel")
    changes = {name: getattr(given, name) for name in names}
    with trust.trusting(given.trust_code):
        opened = feeder_of(given.room, given.config, given.split, changes)
    figures = measure(opened, given.batch_size, given.batches)
    print(f"first batch, from opening the archive: {figures.first_batch_seconds:.2f} s")
    for when, (processor, elapsed) in (("at first touch", figures.first_touch_ms), ("later", figures.later_ms)):
        print(f"per sample {when}: {processor:.3f} ms of processor time, {elapsed:.3f} ms elapsed")
    print(f"peak memory without mapped files: {figures.anonymous_mib:.0f} MiB")


if __name__ == "__main__":
    raise SystemExit(guarded(main))
