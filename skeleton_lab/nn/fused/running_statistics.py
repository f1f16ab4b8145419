"""Running statistics of many batch norms moved in a few kernels: network-wide where a network asks for it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


class Move(NamedTuple):
    """One norm's next step: the batch's mean and biased variance, from n values a channel."""

    bn: _BatchNorm
    mean: Tensor
    var: Tensor  # or, where ``inverse``, 1 / sqrt(var + eps)
    bias: Tensor | None  # belongs to the mean
    n: Tensor | int
    inverse: bool


_waiting: ContextVar[list[Move] | None] = ContextVar("waiting", default=None)


@contextlib.contextmanager
def moved_together() -> Iterator[None]:
    """Inside, running statistics wait; they move together on the way out, and not at all after an error."""
    if _waiting.get() is not None:  # a network inside a network
        yield
        return
    moves: list[Move] = []
    token = _waiting.set(moves)
    try:
        yield
    finally:
        _waiting.reset(token)
    apply(moves)


@torch.no_grad()
def move_statistics(
    bns: Sequence[_BatchNorm], mean: Tensor, var: Tensor, n: Tensor | int, biases: Sequence[Tensor | None] = (),
    inverse: bool = False,
) -> None:  # fmt: skip
    """Move the running statistics of ``bns`` towards those of a batch with n values per channel.

    Now, or with all others of the network (``moved_together``).  Norms that do not track are left alone.

    Args:
        bns: modules that own consecutive channels.
        mean, var: of those channels, the variance biased.
        biases: ``biases[i]`` was left out of the convolution before ``bns[i]``: it belongs to the running mean.
        inverse: ``var`` is 1 / sqrt(variance + eps), what norms keep.
    """
    sizes = [bn.num_features for bn in bns]
    rows = zip(bns, mean.split(sizes), var.split(sizes), biases or [None] * len(bns))
    moves = [Move(bn, m, v, bias, n, inverse) for bn, m, v, bias in rows if bn.track_running_stats]
    waiting = _waiting.get()
    if waiting is None:
        apply(moves)
        return
    if {id(move.bn) for move in moves} & {id(move.bn) for move in waiting}:  # a layer used twice moves twice, in order
        apply(waiting)
        waiting.clear()
    waiting += moves


@torch.no_grad()
def apply(moves: Sequence[Move]) -> None:
    """Make the moves, each of another norm, with a few kernels for all."""
    if not moves:
        return
    torch._foreach_add_([move.bn.num_batches_tracked for move in moves], 1)
    biased = [move for move in moves if move.bias is not None]
    with_bias = torch._foreach_add([move.mean for move in biased], [move.bias for move in biased]) if biased else []
    means = {id(move.bn): mean for move, mean in zip(biased, with_bias)}
    groups = defaultdict(list)
    for move in moves:
        momentum = move.bn.momentum  # None: an average of all batches so far
        groups[1.0 / float(move.bn.num_batches_tracked) if momentum is None else momentum].append(move)
    for share, group in groups.items():
        toward = [means.get(id(move.bn), move.mean) for move in group] + unbiased(group)
        running = [move.bn.running_mean for move in group] + [move.bn.running_var for move in group]
        torch._foreach_lerp_(running, [t.to(r.dtype) for t, r in zip(toward, running)], share)


def unbiased(moves: Sequence[Move]) -> list[Tensor]:
    """The variances times n / (n - 1)."""
    variances = [move.var for move in moves]
    inverse = [i for i, move in enumerate(moves) if move.inverse]
    if inverse:
        found = torch._foreach_pow([variances[i] for i in inverse], -2.0)
        torch._foreach_sub_(found, [moves[i].bn.eps for i in inverse])
        for i, var in zip(inverse, found):
            variances[i] = var
    counted = {id(move.n): move.n for move in moves if isinstance(move.n, Tensor)}
    if not counted:
        return list(torch._foreach_mul(variances, [move.n / (move.n - 1) for move in moves]))
    numbers = torch.stack(list(counted.values())).to(variances[0])
    factors = dict(zip(counted, (numbers / (numbers - 1)).unbind()))  # tensors: the host never asks for them
    sizes = [len(var) for var in variances]
    rows = [
        factors[id(move.n)] if id(move.n) in factors else numbers.new_tensor(move.n / (move.n - 1)) for move in moves
    ]
    return list((torch.cat(variances) * torch.cat([f.expand(n) for f, n in zip(rows, sizes)])).split(sizes))
