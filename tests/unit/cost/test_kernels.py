"""``skeleton_lab.cost.kernels``: what is a kernel, what it moves, and that the CUDA code is the one that is counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.cost import kernels
from skeleton_lab.nn.fused.batch_norm import moments


class Asks(nn.Module):
    """Computes with one kernel on CUDA, with two elsewhere; a number too many in backward shows there as well."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w if x.is_cuda else (x * w) * 1

        @staticmethod
        def backward(ctx, dy):
            x, _ = ctx.saved_tensors
            dw = (dy * x).sum()
            return None, dw if dy.device.type == "cuda" else dw * 1

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.Twice.apply(x, self.w)


def names(found):
    return [k.name for k in found]


@pytest.mark.parametrize("device", ("cpu", "meta"))
def test_the_code_for_cuda_runs_in_forward_and_backward(device):
    x, y = torch.randn(4, 5, device=device), torch.zeros(4, dtype=torch.long, device=device)
    cuda, cpu = (names(kernels.of_step(Asks(), (x,), y, cuda)).count("mul") for cuda in (True, False))
    assert (cuda, cpu) == (2, 4)


def test_bytes_and_flops_of_a_product():
    with kernels.Kernels() as counted:
        a, b = torch.ones(1, 6, 7).expand(3, -1, -1), torch.ones(3, 7, 8)
        counted.found.clear()
        a.bmm(b)
    (product,) = counted.found
    assert product.flops == 2 * 3 * 6 * 7 * 8
    assert product.bytes == 4 * (6 * 7 + 3 * 7 * 8 + 3 * 6 * 8)  # the expanded operand lies in memory once


def test_views_and_allocations_are_no_kernels():
    with kernels.Kernels() as counted:
        x = torch.empty(4, 6)
        x.view(2, 12).t()[1:].expand(3, 11, 2)
        assert not counted.found
        x.zero_()
        x[1].add_(1)
    assert [(k.name, k.bytes) for k in counted.found] == [("zero_", 4 * 24), ("add_", 2 * 4 * 6)]


@pytest.mark.parametrize("dtype, kernel", [(torch.float32, "var_mean"), (torch.bfloat16, "batch_norm_stats")])
def test_kernels_of_cuda_alone_have_stand_ins_with_the_same_values(dtype, kernel):
    x = torch.randn(3, 4, 5, 6).to(dtype)
    with kernels.Kernels() as counted, kernels.AsCuda(x.device):
        mean, var = moments(x, None, 1e-5)
    assert names(counted.found)[0] == kernel
    torch.testing.assert_close(mean, x.float().mean((0, 2, 3)))
    torch.testing.assert_close(var, x.float().var((0, 2, 3), correction=0))


def test_dropout_is_one_kernel_on_cuda():
    with kernels.Kernels() as counted, kernels.AsCuda(torch.device("cpu")):
        x = torch.ones(3)
        counted.found.clear()
        nn.Dropout(0.5)(x)
    assert names(counted.found) == ["native_dropout"]


def test_time_is_launch_and_the_longer_of_products_and_bytes():
    card = kernels.Card(bandwidth=10, flops=100, launch=1)
    assert kernels.seconds([kernels.Kernel("a", 300, 10), kernels.Kernel("b", 100, 50)], card) == (1 + 3) + (1 + 5)


def test_the_arithmetic_of_products_and_convolutions_is_that_of_their_results():
    x, w, y = torch.ones(2, 3, 8, 1), torch.ones(5, 3, 3, 1), torch.empty(4, 2, 6)
    with kernels.Kernels() as found, torch.no_grad():
        torch.nn.functional.conv2d(x, w)
        torch.bmm(torch.ones(4, 2, 7), torch.ones(4, 7, 6), out=y)
    assert [k.flops for k in found.found if k.flops] == [2 * 2 * 5 * 6 * 3 * 3, 2 * 4 * 2 * 7 * 6]
