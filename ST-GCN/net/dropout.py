"""Dropout that draws cheaply and remembers one bit per value."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

LEVELS = 2**16  # probabilities are rounded to multiples of 1 / LEVELS


def keep_mask(x: Tensor, p: float) -> tuple[Tensor, float]:
    """A random mask of x's shape and layout, False with probability p, and the share that is kept on average.

    Four values share one 64-bit draw: ten times as fast on a CPU as a draw for each.
    """
    drop = round(p * LEVELS)
    size = x.numel()
    draws = torch.empty(-(-size // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    keep = draws.view(torch.int16)[:size] >= drop - LEVELS // 2
    strides = torch.empty_like(x, dtype=torch.bool, device="meta").stride()
    return keep.as_strided(x.shape, strides), 1 - drop / LEVELS


class Dropout(Function):
    """The mask is all that backward needs."""

    @staticmethod
    def forward(ctx, x, p):
        keep, ctx.share = keep_mask(x, p)
        ctx.shape, ctx.stride = keep.shape, keep.stride()
        ctx.save_for_backward(packed(keep.as_strided((keep.numel(),), (1,))))
        return masked(x, keep, ctx.share)

    @staticmethod
    def backward(ctx, dy):
        keep = unpacked(*ctx.saved_tensors).as_strided(ctx.shape, ctx.stride)
        return masked(dy, keep, ctx.share), None


# Eight booleans are one 64-bit number with a 0 or 1 in each of its bytes.
GATHER = 0x0102040810204080  # times such a number: byte i's bit ends up as bit i of the highest byte
REPEAT = 0x0101010101010101  # times a byte: that byte eight times
ONE_EACH = 0x8040201008040201 - 2**64  # bit i of byte i


def packed(keep: Tensor) -> Tensor:
    """Booleans (n,) -> bytes (ceil(n / 8),), bit i of byte j from ``keep[8 j + i]``."""
    words = F.pad(keep, (0, -len(keep) % 8)).view(torch.int64)
    return ((words * GATHER) >> 56).to(torch.uint8)


def unpacked(bits: Tensor) -> Tensor:
    """Bytes (m,) -> the booleans (8 m,) that ``packed`` was given, and what filled up the last byte."""
    words = bits.to(torch.int64).mul_(REPEAT).bitwise_and_(ONE_EACH)
    return words.view(torch.uint8) != 0


def masked(x: Tensor, keep: Tensor, share: float) -> Tensor:
    return (x * keep).mul_(1 / share)


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """``F.dropout`` with p rounded to 1/65536: in training, zero with probability p, else divided by 1 - p."""
    if not training or p == 0:
        return x
    return Dropout.apply(x, p) if p < 1 else torch.zeros_like(x)
