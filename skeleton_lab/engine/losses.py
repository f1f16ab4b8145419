"""Training losses of the published programs; always a mean over the clips given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skeleton_lab.errors import UsageError

SMOOTHING = 0.1  # of --loss-type LSCE


def cross_entropy(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Of logits (N, K) and labels (N,); with ``smoothing`` s: (1-s) CE + s times the mean over classes of -log p."""
    return F.cross_entropy(logits.float(), y, label_smoothing=smoothing)


class Criterion:
    """What a program minimises: ``criterion(output, y)``, of what a network returns (see ``heads_of``).

    Args:
        smoothing: of the labels.
        extra: a loss of the whole output, added to the heads' cross entropies; net: has one of its own where it has a
            method ``extra_loss(output, y)``.
    """

    def __init__(
        self, smoothing: float = 0.0, extra: Callable[[Any], Tensor | float] | None = None, net: Any = None
    ) -> None:
        self.smoothing = smoothing
        self.extra = extra
        self.of_net: Callable[[Any, Tensor], Tensor | float] | None = getattr(net, "extra_loss", None)

    def on(self, net: Any) -> Criterion:
        """The same for another network, a copy say."""
        return Criterion(self.smoothing, self.extra, net)

    def __call__(self, output: Any, y: Tensor) -> Tensor:
        """The sum of the heads' losses."""
        first, *others = (cross_entropy(head, y, self.smoothing) for head in heads_of(output))
        loss = sum(others, first)  # from 0 on would be one kernel more
        if self.of_net is not None:
            loss = loss + self.of_net(output, y)
        return loss if self.extra is None else loss + self.extra(output)

    def of_batches(self, heads: Tensor, y: Tensor, size: int) -> list[float]:
        """Losses of consecutive batches of ``size`` clips; the last may be smaller. heads (N, H, K), or one (N, K)."""
        heads = heads.unsqueeze(1) if heads.dim() == 2 else heads
        pairs = zip(heads.split(size), y.split(size))
        return [float(self(list(piece.unbind(1)), labels)) for piece, labels in pairs]


def heads_of(output: Any) -> list[Tensor]:
    """The logits (N, K) of every head: a tensor is one, a list holds several, a tuple begins with either.

    Raises:
        UsageError: the output is something else.
    """
    if isinstance(output, tuple) and output:
        return heads_of(output[0])
    if isinstance(output, list) and output:
        return [head for each in output for head in heads_of(each)]
    if isinstance(output, Tensor):
        return [output]
    raise UsageError(
        f"the network returns {type(output).__name__}; understood are logits (N, K), a tuple (logits, ...), and a list "
        "of heads, whose logits and losses are added up"
    )


def logits_of(output: Any) -> Tensor:
    """The sum of the heads' logits, (N, K)."""
    return summed(torch.stack(heads, 1)) if len(heads := heads_of(output)) > 1 else heads[0]


def summed(heads: Tensor) -> Tensor:
    """Logits (N, K) of heads (N, H, K)."""
    return heads[:, 0] if heads.shape[1] == 1 else heads.sum(1)
