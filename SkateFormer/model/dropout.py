"""Dropout of attention maps: which values stay is drawn 64 to a random word, and kept so for backward.

A float of noise per value and the product, which plain dropout remembers, would be the largest tensors of the network,
and drawing one random number per value its slowest operation.
"""

from __future__ import annotations

import torch
from torch import Tensor

WORD = 64
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of a value


def draw(rows: int, values: int, p: float, device: torch.device) -> Tensor:
    """Which of (rows, values) stay, each with probability 1 - p, from torch's global generator of the device.

    Returns:
        p = 0.5: random words (rows, ceil(values / 64)) int64, a bit for each value; else (rows, values) bool.
    """
    if p == 0.5:
        words = torch.empty(rows, -(-values // WORD), dtype=torch.int64, device=device)
        return words.random_(torch.iinfo(torch.int64).min, None)
    return torch.rand(rows, values, device=device) >= p


def unpack(drawn: Tensor, like: Tensor) -> Tensor:
    """What ``drop_`` wants, for the rows of ``drawn`` and values of the type and number of ``like`` (rows, ...)."""
    if drawn.dtype == torch.bool:
        return drawn
    bits = 8 * like.element_size()
    drawn = drawn.view(INTEGERS[like.element_size()])
    shifts = torch.arange(bits, dtype=drawn.dtype, device=drawn.device)
    mask = drawn[:, None] << shifts[:, None]  # bit k of each word becomes the sign ...
    mask >>= bits - 1  # ... and the sign every bit
    return mask.flatten(1)[:, : like[0].numel()]


def drop_(x: Tensor, mask: Tensor) -> Tensor:
    """Zero the dropped values of x (rows, ...) in place; what stays is not scaled."""
    rows = x.view(len(x), -1)
    if mask.dtype == torch.bool:
        rows *= mask
    else:  # an all-ones or all-zeros integer for each value: much cheaper than a comparison and a product
        rows.view(mask.dtype).bitwise_and_(mask)
    return x
