"""Parameters concatenated in groups equal torch.cat, forward and backward."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck

from skeleton_lab.nn.fused.parameters import concatenated


def tensor(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_groups_of_unequal_rows():
    a, b, c, d, e = tensor(2, 3), tensor(4, 3), tensor(5), tensor(1), tensor(2, 1, 2)
    first, second, third = concatenated([a, b], [c, d], [e])
    assert torch.equal(first, torch.cat([a, b])) and torch.equal(second, torch.cat([c, d])) and third is e
    assert gradcheck(lambda *t: concatenated(t[:2], t[2:4], t[4:]), (a, b, c, d, e))


def test_a_group_without_a_part_in_the_loss_has_a_gradient_of_zero():
    a, b, c, d = tensor(2), tensor(3), tensor(2), tensor(3)
    concatenated([a, b], [c, d])[0].sum().backward()
    assert torch.equal(a.grad, torch.ones_like(a)) and torch.equal(d.grad, torch.zeros_like(d))


def test_gradients_of_neighbours_are_their_own():
    """They share memory: clipping or zeroing one in place must leave the other alone."""
    a, b = tensor(2), tensor(3)
    concatenated([a, b])[0].sum().backward()
    a.grad.zero_()
    assert torch.equal(b.grad, torch.ones_like(b))
