"""Layers over frames that come in pieces, against the same layers on the whole clip."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skeleton_lab.errors import UsageError
from skeleton_lab.nn.continual import Chain, Framewise, Joined, Node, Window, beside, node, summed
from skeleton_lab.nn.layers import MultiScaleTemporalConv, UnitTCN


def fed(made: Node, x: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, list[int]]:
    """All outputs of frames that come one to three at a time, and how many had come after each piece."""
    pieces = torch.Generator().manual_seed(seed)
    state, outputs, counts, t = None, [], [], 0
    while t < x.shape[2]:
        n = int(torch.randint(1, 4, (), generator=pieces))
        y, state = made.push(x[:, :, t : t + n], state)
        t += n
        outputs += [] if y is None else [y]
        counts.append(sum(each.shape[2] for each in outputs))
    y, _ = made.push(None, state, last=True)
    return torch.cat([*outputs, *([] if y is None else [y])], 2), counts


def conv(kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(4, 6, (kernel, 1), (stride, 1), ((kernel - 1) * dilation // 2, 0), (dilation, 1))


LAYERS = {
    "kernel 9": (conv(9), 4, 1),
    "dilated": (conv(3, dilation=4), 4, 1),
    "strided": (conv(5, 2), 2, 2),
    "stride beyond the kernel": (conv(1, 3), 0, 3),
    "pool": (nn.MaxPool2d((3, 1), (2, 1), (1, 0)), 1, 2),
    "two strides": (nn.Sequential(conv(5, 2), nn.ReLU(), nn.Conv2d(6, 4, 1), conv(3, 2, 2)), 2 + 2 * 2, 4),
    "unit": (UnitTCN(4, 6, 5, 2, 2), 4, 2),
    "branches": (MultiScaleTemporalConv(4, 12, 5, 2, (1, 2)), 4, 2),
    "branches and x": (MultiScaleTemporalConv(12, 12, 3, 1, (1, 2, 3, 4)), 4, 1),
}


@pytest.mark.parametrize("T", [1, 2, 11, 24])
@pytest.mark.parametrize("name", LAYERS)
def test_frames_in_pieces_give_what_the_whole_clip_gives(name: str, T: int) -> None:
    layer, reach, stride = LAYERS[name]
    layer = layer.eval().requires_grad_(False)
    x = torch.randn(2, 12 if name == "branches and x" else 4, T, 3) - 2  # below 0: a pool must not see padding of 0
    made = node(layer)
    assert (made.reach, made.stride) == (reach, stride)
    y, _ = fed(made, x, seed=T)
    torch.testing.assert_close(y, layer(x))


def test_an_output_comes_with_the_last_frame_that_it_looks_at() -> None:
    made, x = node(nn.Sequential(conv(5, 2), nn.ReLU(), nn.Conv2d(6, 4, 1), conv(3, 2))), torch.randn(1, 4, 30, 3)
    state, came = None, {}
    for t in range(30):
        y, state = made.push(x[:, :, t : t + 1], state)
        for _ in range(0 if y is None else y.shape[2]):
            came[len(came)] = t
    assert (made.reach, made.stride) == (4, 4)
    assert came == {j: 4 * j + 4 for j in range(7)}


def test_branches_wait_for_each_other() -> None:
    slow, fast = Window(lambda x: x[:, :, 3:-3], reach=3), Framewise(lambda x: 10 * x)
    x = torch.arange(1.0, 9).view(1, 1, 8, 1)
    y, counts = fed(Joined([slow, fast], summed), x)
    torch.testing.assert_close(y, 11 * x)
    assert counts[-1] == 5
    y, _ = fed(Joined([slow, Chain([])], beside), x)
    torch.testing.assert_close(y, torch.cat([x, x], 1))


def test_the_end_leaves_the_state_as_it_was() -> None:
    layer, x = conv(9).requires_grad_(False), torch.randn(1, 4, 12, 3)
    made = node(layer)
    before, state = made.push(x[:, :, :7], None)
    for _ in range(2):
        end, _ = made.push(None, state, last=True)
        torch.testing.assert_close(torch.cat([before, end], 2), layer(x[:, :, :7]))
    after, state = made.push(x[:, :, 7:], state)
    end, _ = made.push(None, state, last=True)
    torch.testing.assert_close(torch.cat([before, after, end], 2), layer(x))


class Shuffled(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flip(2))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Softmax(2),
        Shuffled(nn.ReLU()),  # computes another thing than the class that has a rule
        nn.Conv2d(4, 4, (3, 1)),
        nn.Conv2d(4, 4, (3, 3), padding=(1, 1)),
        nn.Conv2d(4, 4, (3, 1), padding=(1, 0), padding_mode="replicate"),
        nn.MaxPool2d((2, 1), (2, 1), (1, 0)),
        nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
    ],
)
def test_what_no_rule_covers_is_refused(layer: nn.Module) -> None:
    with pytest.raises(UsageError, match="frame by frame"):
        node(layer)
