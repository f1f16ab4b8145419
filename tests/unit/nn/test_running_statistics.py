"""Running statistics that wait for the end of a network's forward end where torch's own would."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skeleton_lab.nn.fused.batch_norm import batch_norm
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.running_statistics import move_statistics, moved_together


class Twice(FusedNetwork):
    """One norm used twice, one that averages all batches, one that does not track; the first may fail afterwards."""

    def __init__(self):
        super().__init__()
        self.a = nn.BatchNorm2d(3, momentum=0.3)
        self.b = nn.BatchNorm2d(3, momentum=None)
        self.c = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x, fail=False):
        for bn in (self.a, self.b, self.c, self.a):
            x = batch_norm([bn], x) * 2 + 1
        if fail:
            raise MemoryError
        return x


def test_they_end_where_torch_s_own_would():
    net = Twice()
    theirs = copy.deepcopy(net)
    for _ in range(3):
        x = torch.randn(4, 3, 5, 6) + 2
        net(x)
        for bn in (theirs.a, theirs.b, theirs.c, theirs.a):
            x = bn(x) * 2 + 1
    torch.testing.assert_close(net.state_dict(), theirs.state_dict())
    assert net.state_dict().keys() == theirs.state_dict().keys()


def test_the_second_move_waits_for_the_end():
    net = Twice()
    with pytest.raises(MemoryError):
        net(torch.randn(4, 3, 5, 6), fail=True)
    # What waited when the error came never moves; the same norm's first move had to come before its second.
    assert (int(net.a.num_batches_tracked), int(net.b.num_batches_tracked)) == (1, 1)
    net(torch.randn(4, 3, 5, 6))
    assert (int(net.a.num_batches_tracked), int(net.b.num_batches_tracked)) == (3, 2)


def test_a_count_of_values_may_be_a_tensor():
    bn = nn.BatchNorm2d(2, momentum=1.0)
    move_statistics(
        [bn], torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0]), torch.tensor(4.0), [torch.tensor([5.0, 0.0])]
    )
    torch.testing.assert_close(bn.running_mean, torch.tensor([6.0, 2.0]))
    torch.testing.assert_close(bn.running_var, torch.tensor([4.0, 8.0]))


def test_counts_known_to_the_host_and_not_may_move_together():
    """Norms of merged bodies and of whole batches in one network: each variance gets its own correction."""
    bns = [nn.BatchNorm2d(size, momentum=1.0) for size in (2, 3, 2)]
    var = torch.tensor([3.0, 6.0, 9.0])
    with moved_together():
        move_statistics(bns[:1], var[:2], var[:2], torch.tensor(4.0))
        move_statistics(bns[1:2], var, var, 10)
        move_statistics(bns[2:], var[:2], (var[:2] + bns[2].eps).rsqrt(), torch.tensor(3.0), inverse=True)
    torch.testing.assert_close([bn.running_var for bn in bns], [var[:2] * 4 / 3, var * 10 / 9, var[:2] * 3 / 2])
