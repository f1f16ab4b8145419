"""Heads trained on cached features, or along with the network: equal seeds give equal weights, resumed or not."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.data.feeders.base import Batch, Feeder
from skeleton_lab.data.feeders.described import WithDescriptors
from skeleton_lab.engine.dataloader import BatchPlan, unpack
from skeleton_lab.engine.evaluate import SEVERAL
from skeleton_lab.engine.optim import half_cosine
from skeleton_lab.inference.penultimate import WithFeatures
from skeleton_lab.multimodal import kept
from skeleton_lab.multimodal.clips import Frozen, Source
from skeleton_lab.nn.fusion import Head
from skeleton_lab.utils.atomic import write_atomically

DECAY = 0.01  # weight decay of AdamW
TEST_BATCH = 256


class Cached:
    """Items of a split by their features: (features, values, there) and labels of a batch."""

    def __init__(self, frozen: Frozen, source: Source, rows: np.ndarray | None = None) -> None:
        self.features, self.labels = torch.from_numpy(frozen.features), torch.from_numpy(frozen.labels)
        self.source, self.rows = source, np.arange(len(frozen.labels)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, batch: Batch) -> tuple[list[Any], Tensor]:
        rows = self.rows[np.asarray(batch, np.int64)]
        at = torch.from_numpy(rows)
        return [self.features[at], *self.source(rows)], self.labels[at]


class Read:
    """Items of a split by a feeder: ((what the network takes), values, there) and labels of a batch."""

    def __init__(self, feeder: Feeder, described: WithDescriptors) -> None:
        self.feeder, self.described = feeder, described

    def __len__(self) -> int:
        return len(self.feeder)

    def __call__(self, batch: Batch) -> tuple[list[Any], Tensor]:
        *fed, values, there = self.described.__getitems__(batch)
        inputs, labels = unpack(fed)
        return [inputs, values, there], labels


class Tuned(Head):
    """A head on a network that learns along with it; its first argument is what the network takes."""

    def __init__(self, net: nn.Module, head: Head) -> None:
        nn.Module.__init__(self)
        self.net, self.head = net, head

    def of_network(self, inputs: list[Tensor]) -> Tensor:
        """(B, F); of samples that are several clips their mean."""
        first = inputs[0]
        if first.dim() != SEVERAL:
            return WithFeatures(self.net).parts(*inputs)[1]
        made = WithFeatures(self.net).parts(*(each.flatten(0, 1) for each in inputs))[1]
        return made.view(*first.shape[:2], -1).mean(1)

    def forward(self, f: Any, x: Tensor, there: Tensor) -> Tensor:
        return self.head(self.of_network(f), x, there)

    def loss(self, f: Any, x: Tensor, there: Tensor, y: Tensor) -> Tensor:
        return self.head.loss(self.of_network(f), x, there, y)


def moved(value: Any, device: torch.device) -> Any:
    return [moved(each, device) for each in value] if isinstance(value, list) else value.to(device)


def train(
    head: Head, examples: Cached | Read, *, groups: list[dict[str, Any]], epochs: int, size: int, seed: int,
    device: torch.device, tick: Callable[[], object], state: Path | None = None,
) -> Head:  # fmt: skip
    """AdamW along half a cosine, ``epochs`` times over the examples; the last weights count, none are chosen.

    Args:
        groups: parameters with their learning rate each, as PyTorch's optimizers take them.
        size: of a batch. tick: is called after every epoch.
        state: where training is kept after every epoch, and goes on from.
    """
    plan = BatchPlan(len(examples), min(size, len(examples)), seed=seed, shuffle=True)
    optimizer = torch.optim.AdamW(groups, weight_decay=DECAY)
    bases = [group["lr"] for group in optimizer.param_groups]
    head.to(device)
    begun = _resumed(head, optimizer, state, tick)
    for epoch in range(begun, epochs):
        plan.epoch = epoch
        torch.manual_seed(seed * 1_000_003 + epoch)  # what is dropped depends on the epoch, not on where a run began
        head.train()
        for step, batch in enumerate(plan):
            for group, base in zip(optimizer.param_groups, bases):
                group["lr"] = half_cosine(epoch * len(plan) + step, epochs * len(plan), base)
            arguments, labels = examples(batch)
            optimizer.zero_grad(set_to_none=True)
            f, x, there = moved(arguments, device)
            head.loss(f, x, there, labels.to(device)).backward()
            optimizer.step()
        if state is not None:
            _keep(head, optimizer, epoch + 1, state)
        tick()
    return head


def _keep(head: Head, optimizer: torch.optim.Optimizer, epochs: int, state: Path) -> None:
    content = {"head": head.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs}
    write_atomically(state, lambda file: torch.save(content, file))


def _resumed(head: Head, optimizer: torch.optim.Optimizer, state: Path | None, tick: Callable[[], object]) -> int:
    """Epochs that are done; UsageError where the file is damaged."""
    if state is None or not state.is_file():
        return 0
    with kept.reading(state):
        content = torch.load(io.BytesIO(state.read_bytes()), map_location="cpu", weights_only=True)
        head.load_state_dict(content["head"])
        optimizer.load_state_dict(content["optimizer"])
        done = int(content["epochs"])
    for _ in range(done):
        tick()
    return done


@torch.no_grad()
def answers(head: Head, examples: Cached | Read, device: torch.device, size: int = TEST_BATCH) -> np.ndarray:
    """(N, K) float32 logits of all items, in order."""
    head.eval()
    made = [head(*moved(examples(batch)[0], device)).float().cpu() for batch in _in_order(len(examples), size)]
    return torch.cat(made).numpy()


def _in_order(count: int, size: int) -> Iterator[Batch]:
    yield from BatchPlan(count, size, shuffle=False)
