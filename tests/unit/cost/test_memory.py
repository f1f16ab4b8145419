"""The forecast of a step's memory against what PyTorch's allocator hands out, and which moment is the highest."""

from __future__ import annotations

import pytest
import torch

from benchmarks import memory
from skeleton_lab.engine.memory.forecast import PeakMemory


@pytest.mark.parametrize("batch", (1, 4))
def test_forecast_of_stgcn_is_what_the_allocator_hands_out(batch):
    ((_, forecast, used),) = memory.compare("ST-GCN", 64, [batch])  # at 1 its gradients are most of it
    assert forecast == pytest.approx(used, rel=0.1)


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
