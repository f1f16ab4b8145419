"""The one training loop of the small scripts: Adam, cross entropy, whole clips; steps or epochs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skeleton_lab.baselines.dataset import NTU60SkeletonDataset, find_archive
from skeleton_lab.engine.losses import logits_of
from skeleton_lab.errors import UsageError
from skeleton_lab.utils import cpus
from skeleton_lab.utils.cli import check_sizes
from skeleton_lab.utils.devices import pick_device

if TYPE_CHECKING:
    from skeleton_lab.baselines.recipe import Recipe

LEARNING_RATE = 1e-3


@dataclass
class Tally:
    """Sums over clips."""

    loss: float = 0.0
    right: int = 0
    clips: int = 0

    def add(self, loss: float, right: int, clips: int) -> None:
        self.loss += loss * clips
        self.right += right
        self.clips += clips

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.clips, 1)

    @property
    def accuracy(self) -> float:
        return self.right / max(self.clips, 1)


def half(device: torch.device) -> AbstractContextManager:
    """Mixed precision on CUDA, nothing elsewhere."""
    return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


class Trainer:
    """A network, its optimiser and the device they are on."""

    def __init__(self, model: nn.Module, device: torch.device):
        self.device = device
        self.model = model.to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.scaler = torch.amp.GradScaler("cuda") if device.type == "cuda" else None

    def step(self, x: Tensor, y: Tensor) -> tuple[float, int]:
        """One optimiser step on x (N, C, T, V, M), y (N,); the loss and the number of right answers before it."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with half(self.device):
            logits = logits_of(self.model(x))
        loss = F.cross_entropy(logits.float(), y)
        if self.scaler is None:
            loss.backward()
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return loss.item(), int((logits.argmax(1) == y).sum())

    @torch.no_grad()
    def accuracy(self, loader: DataLoader) -> float:
        self.model.eval()
        tally = Tally()
        for x, y in moved(loader, self.device):
            with half(self.device):
                logits = logits_of(self.model(x))
            tally.add(0.0, int((logits.argmax(1) == y).sum()), len(y))
        return tally.accuracy


def moved(loader: DataLoader, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for x, y in loader:
        yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)


def loader(data: NTU60SkeletonDataset, options: argparse.Namespace, *, shuffle: bool) -> DataLoader:
    workers = min(options.num_worker, cpus.available().count)
    return DataLoader(
        data, batch_size=options.batch_size, shuffle=shuffle, num_workers=workers,
        pin_memory=torch.cuda.is_available(), persistent_workers=workers > 0 and options.epochs is not None,
    )  # fmt: skip


def run(recipe: Recipe, options: argparse.Namespace) -> int:
    check_sizes(options, "batch_size", *(["epochs"] if options.epochs is not None else []))
    if options.num_worker < 0:
        raise UsageError(f"--num-worker must be at least 0, not {options.num_worker}")
    if not 0 <= options.seed < 1 << 63:
        raise UsageError(f"--seed must be a whole number from 0 to 2^63 - 1, not {options.seed}")
    steps = recipe.steps if options.epochs is None else None
    if steps is None and options.epochs is None:
        options.epochs = recipe.epochs
    torch.manual_seed(options.seed)
    path = find_archive(options.npz_path, *([recipe.paths] if recipe.paths else []))
    if not recipe.header:
        print(f"Loading dataset from {path} ...", flush=True)
    train = NTU60SkeletonDataset(path, "train", layout=options.layout)
    test = NTU60SkeletonDataset(path, "test", layout=options.layout) if recipe.test else None
    device = pick_device(options.device)
    announce(recipe, options, path, train, device, steps)
    trainer = Trainer(recipe.build(train), device)
    batches = loader(train, options, shuffle=True)
    if steps is not None:
        return a_few(trainer, batches, steps, recipe.every)
    test_batches = None if test is None else loader(test, options, shuffle=False)
    for epoch in range(1, options.epochs + 1):
        one_epoch(trainer, batches, test_batches, epoch, options.epochs, recipe)
    return 0


def announce(recipe: Recipe, options, path: Path, train: NTU60SkeletonDataset, device, steps: int | None) -> None:
    if not recipe.header:
        print(f"Train size: {len(train)}")
        print(f"Using device: {device}", flush=True)
        return
    print(f"Dataset path: {path}")
    print(f"Train size: {len(train)}")
    print(f"Device: {device}")
    print(f"Mixed precision AMP: {device.type == 'cuda'}")
    print(f"Steps: {steps}" if steps is not None else f"Epochs: {options.epochs}")
    print(f"Batch size: {options.batch_size}", flush=True)


def a_few(trainer: Trainer, batches: DataLoader, steps: int, every: int) -> int:
    """At most ``steps`` steps of one pass; lines count from 0 to ``steps`` - 1, as the earlier scripts did."""
    tally = Tally()
    for i, (x, y) in enumerate(moved(batches, trainer.device)):
        loss, right = trainer.step(x, y)
        tally.add(loss, right, len(y))
        if i % every == 0:
            print(f"[{i}/{steps - 1}] loss={loss:.4f}, acc={right / len(y):.4f}", flush=True)
        if i + 1 == steps:
            break
    print(f"Finished {i + 1} batches: mean loss={tally.mean_loss:.4f}, acc={tally.accuracy:.4f}")
    return 0


def one_epoch(
    trainer: Trainer, batches: DataLoader, test: DataLoader | None, epoch: int, epochs: int, recipe: Recipe
) -> None:
    tally = Tally()
    if not recipe.test:
        print(f"=== Epoch {epoch}/{epochs} ===", flush=True)
    for i, (x, y) in enumerate(moved(batches, trainer.device)):
        loss, right = trainer.step(x, y)
        tally.add(loss, right, len(y))
        if i % recipe.every == 0:
            place, name = (f"epoch {epoch} iter {i}", "batch_acc") if recipe.test else (f"iter {i}", "acc")
            print(f"[{place}] loss={loss:.4f}, {name}={right / len(y):.4f}", flush=True)
    if test is None:
        print(f"Epoch {epoch}: mean loss={tally.mean_loss:.4f}, acc={tally.accuracy:.4f}", flush=True)
        return
    print(
        f"Epoch {epoch} summary: train_loss={tally.mean_loss:.4f}, train_acc={tally.accuracy:.4f}, "
        f"test_acc={trainer.accuracy(test):.4f}",
        flush=True,
    )
