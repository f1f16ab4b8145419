"""Everything random in training: which sequences make a batch, the noise of the latents, the negative pairs.

Drawn for many steps at once from torch's default CPU generator, so that a run on a GPU draws the same as one on the
CPU, and moves to the device in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BATCH = 64
CHUNK = 100  # steps drawn together


@dataclass(frozen=True)
class Draws:
    """Of K steps: sequences ``index`` (K, B), noise ``eps`` (K, 2, B, 1), negatives ``permutation`` (K, B)."""

    index: Tensor
    eps: Tensor
    permutation: Tensor


class Drawer:
    """Draws of N sequences, B = min(64, N) a step.

    Args:
        published: replay the order in which the published programs draw (a seed and a permutation of all N a step),
            which a run of theirs can be compared with; otherwise the same distributions, drawn cheaply.
        permuted: the published FS-VAE draws two permutations a step, MSF-GZSSAR none.
    """

    def __init__(self, count: int, *, published: bool = False, permuted: bool = True):
        self.count = count
        self.batch = min(BATCH, count)
        self.published = published
        self.permuted = permuted

    def cycle(self, steps: int, device: torch.device) -> Iterator[Draws]:
        """The draws of a cycle in pieces of up to CHUNK steps, on ``device``."""
        for first in range(0, steps, CHUNK):
            drawn = (self._published if self.published else self._drawn)(min(CHUNK, steps - first))
            yield Draws(*(part.to(device, non_blocking=True) for part in drawn))

    def after_pass(self, passes: int) -> None:
        """The published loader draws a seed per pass over a data set, though it uses it for nothing."""
        for _ in range(passes if self.published else 0):
            _seed()

    def _drawn(self, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        eps = torch.randn(steps, 2, self.batch, 1)
        permutation = torch.rand(steps, self.batch).argsort(1) if self.permuted else _identity(steps, self.batch)
        return self._distinct(steps), eps, permutation

    def _distinct(self, steps: int) -> Tensor:
        """(steps, B): B different indices per row, each such row as likely as any other."""
        if self.count < self.batch**2:  # rows without a double would be rare
            return torch.stack([torch.randperm(self.count)[: self.batch] for _ in range(steps)])
        index = torch.randint(self.count, (steps, self.batch))
        while True:
            ordered = index.sort(1).values
            doubled = (ordered[:, 1:] == ordered[:, :-1]).any(1).nonzero()[:, 0]
            if not len(doubled):
                return index
            index[doubled] = torch.randint(self.count, (len(doubled), self.batch))

    def _published(self, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = []
        for _ in range(steps):
            _seed()
            order = torch.randperm(self.count, generator=torch.Generator().manual_seed(_seed()))[: self.batch]
            eps = torch.stack([torch.randn(self.batch, 1), torch.randn(self.batch, 1)])
            if self.permuted:
                permutation = torch.randperm(self.batch)
                torch.randperm(self.batch)  # which the published program never uses
            else:
                permutation = torch.arange(self.batch)
            rows.append((order, eps, permutation))
        return tuple(torch.stack(parts) for parts in zip(*rows))


def _seed() -> int:
    return int(torch.empty((), dtype=torch.int64).random_())


def _identity(steps: int, batch: int) -> Tensor:
    return torch.arange(batch).expand(steps, batch)
