"""Parameters of several layers concatenated in one kernel, their gradients handed back without any."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class Concatenate(Function):
    """Groups of tensors, each concatenated over the first axis; ``sizes`` are the numbers of tensors in each.

    All results lie in one piece of memory.  The gradient of a tensor is its rows of its group's gradient: a view,
    which autograd takes as it is.
    """

    @staticmethod
    def forward(ctx, sizes, *tensors):
        ctx.rows, shapes, start = [], [], 0
        for size in sizes:
            group = tensors[start : start + size]
            ctx.rows.append([len(t) for t in group])
            shapes.append((sum(len(t) for t in group), *group[0].shape[1:]))
            start += size
        flat = torch.cat([t.reshape(-1) for t in tensors])
        parts = flat.split([torch.Size(shape).numel() for shape in shapes])
        return tuple(part.view(shape) for part, shape in zip(parts, shapes))

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        rows = zip(gradients, ctx.rows)
        return None, *(part for gradient, sizes in rows for part in gradient.contiguous().split(sizes))


def concatenated(*groups: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """``torch.cat(group)`` for every group of parameters, on a GPU in one kernel; groups of one cost nothing.

    The tensors of a group have equal shapes but for the first axis; all groups have one dtype and device.
    """
    if not (torch.is_grad_enabled() or groups[0][0].is_cuda):  # a tenth of the time there
        return tuple(torch.cat(list(group)) if len(group) > 1 else group[0] for group in groups)
    many = [group for group in groups if len(group) > 1]
    if not many:
        return tuple(group[0] for group in groups)
    merged = iter(Concatenate.apply([len(group) for group in many], *(t for group in many for t in group)))
    return tuple(next(merged) if len(group) > 1 else group[0] for group in groups)
