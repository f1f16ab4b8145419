"""``skeleton_lab.cost.traffic``: bytes that kernels read and write, against values counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skeleton_lab.cost import kernels

FLOAT = 4


def traffic(operation, *arguments: Tensor, **more) -> int:
    """Bytes of the kernels that one operation launches."""
    with kernels.Kernels() as counted:
        operation(*arguments, **more)
    return sum(k.bytes for k in counted.found)


a, b, y = torch.ones(3, 6, 7), torch.ones(3, 7, 8), torch.ones(3, 6, 8)
READ = a.numel() + b.numel()


@pytest.mark.parametrize(
    ("operation", "values"),
    [
        (lambda: y.baddbmm_(a, b), READ + 2 * y.numel()),
        (lambda: y.baddbmm_(a, b, beta=0), READ + y.numel()),  # what was in y does not matter
        (lambda: torch.bmm(a, b, out=y), READ + y.numel()),
        (lambda: torch.baddbmm(y, a, b), READ + 4 * y.numel()),  # y is copied, then added to
        (lambda: torch.addmm(torch.ones(8), a[0], b[0]), 8 + 8 + 42 + 56 + 48),  # torch.ones writes, cuBLAS adds
        (lambda: torch.addmm(y[0], a[0], b[0], beta=0), 42 + 56 + 48),
    ],
)
def test_products(operation, values):
    assert traffic(operation) == FLOAT * values


def test_windows_that_overlap_lie_in_memory_once():
    x = torch.ones(2, 10)
    windows = x.unfold(1, 5, 1)  # (2, 6, 5) views of 10 values a row
    assert traffic(torch.clone, windows) == FLOAT * (20 + 60)


@pytest.mark.parametrize("make", (torch.zeros_like, torch.rand_like, lambda x: x.new_ones(x.shape)))
def test_what_only_lends_its_shape_is_not_read(make):
    with kernels.Kernels() as counted:
        make(torch.empty(5, 5))
    assert counted.found[0].bytes == FLOAT * 25


def test_shared_arguments_are_read_once():
    x = torch.ones(50)
    assert traffic(torch.mul, x, x) == FLOAT * (50 + 50)
    other = x + 1
    assert traffic(torch.mul, x, other) == FLOAT * 3 * 50


def test_lists_that_are_changed_are_written():
    running, toward = [torch.ones(5), torch.ones(7)], [torch.ones(5), torch.ones(7)]
    assert traffic(torch._foreach_lerp_, running, toward, 0.5) == FLOAT * 3 * 12


def test_gathering_reads_what_it_returns():
    x, rows = torch.ones(100, 5), torch.tensor([3, 4])
    assert traffic(torch.index_select, x, 0, rows) == 2 * 8 + FLOAT * 2 * 10


def test_norms_in_training_read_twice():
    """Statistics, and in backward two sums, of a tensor are complete before its first result is known."""
    x, channel = torch.ones(2, 3, 50), torch.ones(3)
    forward = traffic(torch.ops.aten.native_batch_norm, x, channel, channel, None, None, True, 0.1, 1e-5)
    assert forward == FLOAT * (3 * 300 + 3 + 2 * 3)
    running = torch.ops.aten.native_batch_norm, x, channel, channel, channel, channel, False, 0.1, 1e-5
    assert traffic(*running) < FLOAT * (2 * 300 + 20)
    arguments = x + 1, x, channel, None, None, torch.zeros(3), torch.ones(3), True, 1e-5
    backward = torch.ops.aten.native_batch_norm_backward
    with_dx, without = (traffic(backward, *arguments, [dx, True, True]) for dx in (True, False))
    assert with_dx == FLOAT * (5 * 300 + 3 * 3 + 2 * 3)
    assert without < with_dx - FLOAT * 2 * 300


def test_a_convolutions_gradients_read_what_arrives_each():
    x, w, dy = torch.ones(2, 3, 10, 1), torch.ones(4, 3, 1, 1), torch.ones(2, 4, 10, 1)
    settings = [1, 1], [0, 0], [1, 1], False, [0, 0], 1
    backward = torch.ops.aten.convolution_backward
    found = traffic(backward, dy, x, w, None, *settings, [True, True, False])
    assert found == FLOAT * (2 * 80 + 60 + 12 + 60 + 12)
    without = traffic(torch.conv2d, x, w)
    assert without == FLOAT * (60 + 12 + 80)
    assert traffic(torch.conv2d, x, w, torch.ones(4)) == without + FLOAT * (2 * 80 + 4)  # added in memory
