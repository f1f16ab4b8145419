"""Counting: against networks small enough to count by hand, against the fixture, and the promises of the README."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from reference.ctrgcn import Model as Reference
from torch import nn

from skeleton_lab import rooms
from skeleton_lab.cost import GIB, Cost, fits, largest_batch, measure
from skeleton_lab.nn.checkpoint import checkpointed

PARITY = Path(__file__).parent / "parity"


class InPlace(nn.Module):
    """A product that torch's counter does not see."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 4))

    def forward(self, x):
        y = torch.zeros(len(x), 5, 6)
        return y.baddbmm_(x, self.w.t().expand(len(x), -1, -1)).sum(1)


def test_in_place_products_count():
    assert measure(InPlace(), torch.randn(2, 5, 4), torch.tensor([0, 1])).flops_forward == 2 * 5 * 4 * 6


def test_small_network_by_hand():
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    cost = measure(net, torch.randn(10, 8), torch.zeros(10, dtype=torch.long))
    assert cost.parameters == 8 * 16 + 16 + 16 * 4 + 4
    assert cost.flops_forward == 2 * (8 * 16 + 16 * 4)
    tanh_output, log_probabilities = 16 * 4, 4 * 4  # what backward needs; x, weights and biases do not count
    assert tanh_output + log_probabilities <= cost.saved_bytes <= tanh_output + log_probabilities + 1 + 8
    assert cost.saved_bytes <= cost.peak_bytes <= 4 * cost.saved_bytes


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
        self.outer = nn.Linear(8, 8)

    def forward(self, x):
        return checkpointed(self.inner, torch.tanh(self.outer(x)))


def test_checkpointed_inputs_count_and_what_is_recomputed_does_not():
    cost = measure(Checkpointed(), torch.randn(16, 8), torch.zeros(16, dtype=torch.long))
    assert 2 * 8 * 4 <= cost.saved_bytes <= 2 * 8 * 4 + 9  # the block's input, shared with tanh, and log-probabilities


def test_the_model_measured_is_left_alone():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4)).eval()
    before = copy.deepcopy(net.state_dict())
    measure(net, torch.randn(8, 4), torch.zeros(8, dtype=torch.long))
    assert not net.training and all(p.grad is None for p in net.parameters())
    torch.testing.assert_close(net.state_dict(), before)


def test_forecast_of_the_batch():
    cost = Cost(flops_forward=1, saved_bytes=1, peak_bytes=75_000_000, parameters=1_446_672)
    batch = largest_batch(cost, 7.0)
    assert fits(cost, batch, 7.0) and not fits(cost, batch + 1, 7.0)
    assert 64 <= batch <= 7 * GIB / 75e6
    assert largest_batch(cost, 0.1) == 0


# --- CTR-GCN -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    with rooms.room("CTR-GCN"):
        return rooms.load("CTR-GCN", "model.ctrgcn.Model")(graph="graph.ntu_rgb_d.Graph")


@pytest.fixture(scope="module")
def batch():
    return torch.randn(8, 3, 64, 25, 2, generator=torch.Generator().manual_seed(0)), torch.arange(8)


def test_plain_reference_costs_what_was_published(network, batch):
    cost = measure(Reference(torch.tensor(network.graph.A, dtype=torch.float32)), *batch)
    assert cost.flops_forward == json.loads((PARITY / "ctrgcn.json").read_text())["flops_per_sample"]
    assert cost.saved_bytes / 2**20 == pytest.approx(128.5, abs=0.05)


def test_ctrgcn_is_cheaper(network, batch):
    cost = measure(network, *batch)
    assert cost.flops_forward <= 3.6e9  # published 3.88e9
    assert cost.saved_bytes <= 75e6
    assert largest_batch(cost) >= 64, "the published batch should fit an 8 GB card in float32"


def test_ctrgcn_with_checkpointing(network, batch):
    network = copy.deepcopy(network)
    network.activation_checkpointing = True
    cost = measure(network, *batch)
    assert cost.saved_bytes <= 8e6
    assert cost.peak_bytes <= 25e6  # one block's activations included


def test_single_person_clips_cost_less(network, batch):
    x, y = batch[0].clone(), batch[1]
    x[..., 1] = 0
    cost = measure(network, x, y)
    assert cost.flops_forward <= 3.6e9 * 9 / 16 + 1e7  # 8 first bodies and one empty second of 16
    assert cost.saved_bytes <= 75e6 * 9 / 16 + 1e6


def test_command_line():
    command = [sys.executable, "-m", "skeleton_lab.cost", "--room", "ctrgcn", "--frames", "8", "--batch", "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1,446,672" in run.stdout and "largest batch in 7 GiB" in run.stdout
    run = subprocess.run([*command, "--config", "nowhere.yaml"], capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.startswith("error: --config") and run.stderr.count("\n") == 1
