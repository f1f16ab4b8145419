"""What is trained for a table: a head each, with right or wrong descriptors, for every seed; kept when it is done."""

from __future__ import annotations

import contextlib
import copy
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skeleton_lab.data.archives.descriptors.beside import NONE
from skeleton_lab.data.archives.ntu_protocol import DATASETS, PATTERN, Benchmark
from skeleton_lab.data.feeders.base import Feeder, checked_interval
from skeleton_lab.data.feeders.described import WithDescriptors
from skeleton_lab.engine.dataloader import observed
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.network import Network
from skeleton_lab.multimodal import kept
from skeleton_lab.multimodal.clips import Frozen, Source, Task, feeder_of
from skeleton_lab.multimodal.training import Cached, Read, Tuned, answers, train
from skeleton_lab.nn.fusion import CoLearning, GatedFusion, Head, Probe
from skeleton_lab.utils.atomic import write_atomically

RIGHT, SHUFFLED, FIRST, WITHOUT = "right", "shuffled", "first", "without"  # descriptors that a head learns from
SCALES = 2000  # clips whose descriptors tell the scale of all
MISSING = (25, 50, 100)  # % of the test clips that lose theirs
Make = Callable[[int, int, int, Namespace], Head]  # features, D, classes, options


@dataclass(frozen=True)
class Unit:
    """A head to be trained.

    Attributes:
        name: of its files. make: the head. using: which descriptors it learns and is tested with.
        missing: it is also tested where some clips have lost theirs. held: also on the held-out subjects; rest: it does
            not learn from them. tuned: the network learns too. benchmark: learns and is tested by another division.
    """

    name: str
    make: Make
    using: str = RIGHT
    missing: bool = False
    held: bool = False
    rest: bool = False
    tuned: bool = False
    benchmark: Benchmark | None = None

    def epochs(self, options: Namespace) -> int:
        return options.tune_epochs if self.tuned else options.epochs


def probe(hidden: bool, attention: bool) -> Make:
    return lambda F, D, K, options: Probe(F, D, K, options.hidden if hidden else 0, attention)


def gated(F: int, D: int, K: int, options: Namespace) -> Head:
    return GatedFusion(F, D, K, options.hidden, options.drop)


def co_learning(F: int, D: int, K: int, options: Namespace) -> Head:
    return CoLearning(F, D, K, options.hidden)


def units(task: Task, options: Namespace) -> list[Unit]:
    """All of a table, in the order in which they are trained."""
    several = task.descriptors.per_frame  # attention over one moment, or the first of one, is nothing new
    best = probe(True, several)
    made = [Unit("S-head", gated, WITHOUT), Unit("I-linear-mean", probe(False, False))]
    if several:
        made += [Unit("I-linear-attention", probe(False, True)), Unit("I-hidden-mean", probe(True, False))]
    made.append(Unit("I-hidden", best, held=task.unseen))
    if len(task.held) and not task.unseen:
        made.append(Unit("I-rest", best, held=True, rest=True))
    made += [Unit("F", gated, missing=True), Unit("K", co_learning), Unit("F-shuffled", gated, SHUFFLED)]
    made += [Unit("F-first", gated, FIRST)] if several else []
    if options.tune:
        tuned = [("S-tuned", gated, WITHOUT), ("F-tuned", gated, RIGHT), ("K-tuned", co_learning, RIGHT)]
        tuned.append(("F-tuned-shuffled", gated, SHUFFLED))
        made += [Unit(name, make, using, tuned=True) for name, make, using in tuned]
    return made + [Unit(f"I-{each.folder}", best, benchmark=each) for each in divisions(task)]


def divisions(task: Task) -> list[Benchmark]:
    """The published divisions of NTU RGB+D that the clips' names allow, if there are several."""
    names = [name for each in (task.names or {}).values() for name in each]
    if not names or not all(PATTERN.fullmatch(name) for name in names):
        return []
    data = next((each for each in DATASETS.values() if all(each.has(name) for name in names)), None)
    found = []
    for each in data.benchmarks if data else ():
        parts = {each.part(name) for name in names}
        found += [each] if parts >= {"train", "test"} else []
    return found if len(found) > 1 else []


def divided(task: Task, benchmark: Benchmark) -> Task:
    """The same clips by another division; of the network only its moments are looked at."""
    assert task.names is not None
    both = Frozen.joined([task.frozen["train"], task.frozen["test"]])
    entries = np.concatenate([task.entries["train"], task.entries["test"]])
    part = np.array([benchmark.part(name) for split in ("train", "test") for name in task.names[split]], str)
    test = np.flatnonzero(part == "test")
    return replace(
        task, frozen={"train": both, "test": both.of(test)}, entries={"train": entries, "test": entries[test]},
        train=np.flatnonzero(part == "train"), held=np.zeros(0, np.int64),
    )  # fmt: skip


def permuted(entries: np.ndarray, seed: int, split: str) -> np.ndarray:
    """The clips' descriptors dealt out anew among the clips of a split."""
    return entries[np.random.default_rng([seed, split == "test"]).permutation(len(entries))]


def lost(entries: np.ndarray, percent: int, seed: int) -> np.ndarray:
    """So many of the clips without theirs; those of 25 % are among those of 50 %."""
    gone = np.random.default_rng([seed, 2]).permutation(len(entries))[: round(len(entries) * percent / 100)]
    kept = entries.copy()
    kept[gone] = NONE
    return kept


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Heads are so small that threads of the CPU would wait for each other for most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Runner:
    """Trains units, or reads what was trained before.

    Args:
        folder: for the files of units; tick: is called after every epoch.
    """

    def __init__(
        self, task: Task, network: Network, options: Namespace, folder: Path, tick: Callable[[int], object]
    ) -> None:
        self.task, self.network, self.options, self.folder, self.tick = task, network, options, folder, tick
        self._shared: dict[str, Source] = {}

    def path(self, unit: Unit, seed: int) -> Path:
        return self.folder / f"{unit.name}-seed{seed}.npz"

    def outputs(self, unit: Unit, seed: int) -> dict[str, np.ndarray]:
        """Logits by what was tested ("test", "held", "missing 25" ...); and "seconds" of training, "parameters"."""
        path = self.path(unit, seed)
        if path.is_file():
            self.tick(unit.epochs(self.options))
            return kept.arrays(path, {**self._rows(unit), "seconds": None, "parameters": None})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if unit.tuned:
                made = self._tuned(unit, seed)
            else:
                with one_thread():
                    made = self._frozen(unit, seed)
        if not all(np.isfinite(each).all() for each in made.values()):
            raise UsageError(
                f"{unit.name}, seed {seed}: what it says of the clips is not finite, its training diverged; lower --lr"
                + (" or --tune-lr" if unit.tuned else "")
            )
        write_atomically(path, lambda file: np.savez(file, **made))
        path.with_suffix(".pt").unlink(missing_ok=True)
        return made

    def _rows(self, unit: Unit) -> dict[str, int]:
        """Of the logits of a unit."""
        task = self.task if unit.benchmark is None else divided(self.task, unit.benchmark)
        tests = ["test", *(f"missing {percent}" for percent in MISSING if unit.missing)]
        return {**dict.fromkeys(tests, len(task.entries["test"])), **({"held": len(task.held)} if unit.held else {})}

    def entries(self, task: Task, unit: Unit, seed: int, split: str) -> np.ndarray:
        entries = task.entries[split]
        if unit.using == WITHOUT:
            return np.full(len(entries), NONE)
        return permuted(entries, seed, split) if unit.using == SHUFFLED else entries

    def _source(self, task: Task, unit: Unit, seed: int, split: str) -> Source:
        if unit.using == RIGHT and unit.benchmark is None:
            if split not in self._shared:
                self._shared[split] = Source(task.descriptors, task.entries[split], task.frozen[split].when)
            return self._shared[split]
        entries = self.entries(task, unit, seed, split)
        return Source(task.descriptors, entries, task.frozen[split].when, unit.using == FIRST)

    def _head(self, unit: Unit, task: Task, source: Source, rows: np.ndarray) -> Head:
        """A new head, fitted to the scales of what it will be trained on."""
        features = task.frozen["train"].features
        head = unit.make(features.shape[1], task.descriptors.D, task.classes, self.options)
        head.features.fit(torch.from_numpy(features[rows]))
        known = rows[source.entries[rows] != NONE]
        if len(known):
            some = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), SCALES)).astype(int))]
            values, there = source(some)
            if there.any():  # else nothing of them has been seen yet
                head.descriptors.fit(values[there])
        return head

    def _frozen(self, unit: Unit, seed: int) -> dict[str, Any]:
        options, device = self.options, self.network.runtime.device
        task = self.task if unit.benchmark is None else divided(self.task, unit.benchmark)
        source = self._source(task, unit, seed, "train")
        rows = np.setdiff1d(task.train, task.held) if unit.rest else task.train
        head, begun = self._head(unit, task, source, rows), time.monotonic()
        train(
            head, Cached(task.frozen["train"], source, rows), groups=[{"params": head.parameters(), "lr": options.lr}],
            epochs=options.epochs, size=options.batch_size, seed=seed, device=device, tick=lambda: self.tick(1),
        )  # fmt: skip
        made = _about(head, begun)
        tested = self._source(task, unit, seed, "test")
        made["test"] = answers(head, Cached(task.frozen["test"], tested), device)
        if unit.held:
            made["held"] = answers(head, Cached(task.frozen["train"], source, task.held), device)
        for percent in MISSING if unit.missing else ():
            fewer = Source(task.descriptors, lost(task.entries["test"], percent, seed), task.frozen["test"].when)
            made[f"missing {percent}"] = answers(head, Cached(task.frozen["test"], fewer), device)
        return made

    def _tuned(self, unit: Unit, seed: int) -> dict[str, Any]:
        options, network, task = self.options, self.network, self.task
        source = self._source(task, unit, seed, "train")
        head = Tuned(copy.deepcopy(network.net), self._head(unit, task, source, task.train))
        groups = [{"params": head.net.parameters(), "lr": options.tune_lr},
                  {"params": head.head.parameters(), "lr": options.lr}]  # fmt: skip
        feeder, begun = training_feeder(network, options, task.train, seed), time.monotonic()
        train(
            head, self._read(feeder, self.entries(task, unit, seed, "train")[task.train]), groups=groups,
            epochs=options.tune_epochs, size=options.batch_size, seed=seed, device=network.runtime.device,
            tick=lambda: self.tick(1), state=self.path(unit, seed).with_suffix(".pt"),
        )  # fmt: skip
        made = _about(head, begun)
        tested = self._read(feeder_of(network, options, "test"), self.entries(task, unit, seed, "test"))
        made["test"] = answers(head, tested, network.runtime.device, network.options.test_batch_size)
        return made

    def _read(self, feeder: Feeder, entries: np.ndarray) -> Read:
        return Read(feeder, WithDescriptors(feeder, self.task.descriptors, entries))


def _about(head: Head, begun: float) -> dict[str, Any]:
    count = sum(each.numel() for each in head.parameters())
    return {"seconds": np.float64(time.monotonic() - begun), "parameters": np.int64(count)}


def training_feeder(network: Network, options: Namespace, rows: np.ndarray, seed: int) -> Feeder:
    """The feeder of the network's training, with its augmentation, on rows of the archive's training split."""
    other = copy.copy(network)
    other.arguments = {**network.options.train_feeder_args, "debug": False}
    feeder = other.archive_feeder(options.data, "train", None, None, options.layout)
    feeder.restrict(rows)
    feeder.seed = seed
    if options.observe == 1:
        return feeder
    cut = observed(feeder, checked_interval(options.observe, "observe"))
    assert isinstance(cut, Feeder)
    return cut
