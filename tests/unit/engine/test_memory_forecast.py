"""The forecast of a step's memory against what PyTorch's allocator hands out, and which moment is the highest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmarks import memory
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory.forecast import STATES, Memory, PeakMemory, between, forecast, narrowed


@pytest.mark.parametrize("batch", (1, 4))
def test_forecast_of_stgcn_is_what_the_allocator_hands_out(batch):
    ((_, forecast, used),) = memory.compare("ST-GCN", 64, [batch])  # at 1 its gradients are most of it
    assert forecast == pytest.approx(used, rel=0.1)


@pytest.mark.slow
def test_what_no_sample_asks_for_is_not_taken_for_theirs():
    """Of 16 frames: by the memory of two samples, eight would take a third more than they do."""
    ((_, forecast, used),) = memory.compare("ST-GCN", 16, [8])
    assert forecast == pytest.approx(used, rel=0.1)


def test_a_line_through_two_batches():
    moments = between([2, 6], [[(100, 0), (80, 50)], [(220, 0), (120, 50)]])
    assert moments == ((30.0, 40.0), (10.0, 60.0 + 50))
    assert Memory(0, moments).live_bytes(2) == 130 and Memory(0, moments).live_bytes(10) == 340
    assert between([4], [[(100, 8)]]) == ((25.0, 8),)


def test_what_a_network_keeps_by_device_is_not_found_by_a_run():
    kept = {}

    class Keeps(nn.Linear):
        def forward(self, x):
            if x.device not in kept:
                kept[x.device] = torch.eye(4, device=x.device)
            return super().forward(x @ kept[x.device])

    net, x = Keeps(4, 3), torch.randn(5, 4)
    for kind in ("cpu", "cuda"):
        assert forecast(net, [x], 8, STATES, kind, Criterion()).live_bytes(8) > 0
    assert net(x).device.type == "cpu" and len(kept) == 3


def test_counting_draws_and_changes_nothing():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).eval()
    x, before, state = torch.randn(2, 4), copy.deepcopy(net.state_dict()), torch.get_rng_state()
    forecast(net, [x], 8, STATES, "cpu", Criterion())
    assert torch.equal(torch.get_rng_state(), state)
    assert not net.training and all(p.grad is None and p.device.type == "cpu" for p in net.parameters())
    torch.testing.assert_close(net.state_dict(), before)


def test_half_floats_leave_half():
    net = nn.Sequential(*[layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.Tanh())])
    share = narrowed(net, [torch.randn(4096, 64)], "bf16-mixed", torch.device("cpu"))
    assert 0.4 < share < 0.7 and narrowed(net, [], "64", torch.device("cpu")) == 2
    assert narrowed(net, [], "32", torch.device("cpu")) == 1


def test_moments_tell_what_grows_with_the_batch_from_gradients():
    w = torch.ones(1000, requires_grad=True)
    with PeakMemory() as followed:
        kept = torch.zeros(500)
        loss = (w * 2).sum()
        loss.backward()
        del kept
        later = torch.zeros(250)  # when the gradient is there
    assert followed.moments([w.grad])[-1][1] == w.grad.untyped_storage().nbytes()
    most, held = followed.moments([w.grad])[0]
    assert most >= 4 * 1500 and held == 0 and later is not None
