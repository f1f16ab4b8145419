"""Whether maps find what decides: of people who move all their limbs, those whose right arm waves are told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.feeders.ntu import NTUFeeder
from skeleton_lab.explain import attribution, cells, sanity
from skeleton_lab.explain.clip import Clip
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.figure import places

NTU = layouts.layout("ntu25")
T = 16
RIGHT_ARM = "right arm"


def people(moving: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Clips (3, T, 25, 1) of a standing figure; ``moving`` (N, 4): which limbs wave."""
    stand = np.zeros((25, 3))
    stand[:, :2] = places(NTU)
    made = []
    for who in moving:
        x = np.tile(stand, (T, 1, 1)) + rng.normal(0, 0.01, (T, 25, 3))
        for limb, waves in zip(NTU.limbs, who):
            phase = rng.uniform(0, 2 * np.pi)
            reach = np.linspace(0, 0.4, len(limb)) * waves
            x[:, list(limb), 1] += np.sin(np.arange(T) * 1.2 + phase)[:, None] * reach
        made.append(x.transpose(2, 0, 1)[..., None].astype(np.float32))
    return made


class Net(nn.Module):
    """How much each joint does what in short stretches of time, averaged: the same for every phase of a wave."""

    def __init__(self) -> None:
        super().__init__()
        self.motion, self.fc = nn.Conv1d(75, 50, 3, groups=25, bias=False), nn.Linear(50, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = x[..., 0].permute(0, 3, 1, 2).flatten(1, 2)  # (N, 75, T), joint by joint
        h = self.motion(places - places[:, :, :1])
        return self.fc(torch.relu(h).mean(2))


@pytest.fixture(scope="module")
def trained() -> tuple[Net, NTUFeeder]:
    rng, count = np.random.default_rng(0), 96
    moving = rng.integers(0, 2, (count, 4))
    moving[0] = 1  # everything waves
    feeder = NTUFeeder(ArrayClips(people(moving, rng), moving[:, 1]), window_size=T, split="test", num_person=1)
    x, y, _ = feeder.__getitems__(list(range(count)))
    torch.manual_seed(0)
    net = Net()
    optimiser = torch.optim.AdamW(net.parameters(), 0.05, weight_decay=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    assert (net(x).argmax(1) == y).float().mean() > 0.95
    return net.eval().requires_grad_(False), feeder


def test_the_map_lies_on_the_arm_that_decides_and_random_weights_destroy_it(trained):
    net, feeder = trained
    clip = Clip(feeder, 0)
    mine = cells.cells(clip.points, cells.parts_of(NTU, 25, cells.JOINTS), 4)

    def explain(ask: attribution.Question) -> attribution.Maps:
        return attribution.maps(ask, clip, mine, 1, steps=16)

    ask = attribution.Question(net)
    found = explain(ask)
    on_arm = {method: cells.shares(found.of[method], mine.parts)[RIGHT_ARM] for method in attribution.METHODS}
    assert min(on_arm.values()) > 0.8, on_arm
    assert sanity.agreement(found.of["occlusion"], found.of["gradients"], mine.persons) > 0.5
    random_shares, random_alike = [], []
    for seed in range(4):
        torch.manual_seed(seed)
        fresh = Net().eval()
        rows = sanity.check(ask, fresh, found, mine.persons, explain)
        assert [row["share"] for row in rows][-1] == 1.0 and rows[0]["share"] < 1
        random_alike.append([rows[-1][method] for method in attribution.METHODS])
        other = explain(ask.of(fresh))
        random_shares.append([cells.shares(other.of[m], mine.parts)[RIGHT_ARM] for m in attribution.METHODS])
    assert np.mean(random_shares) < 0.5, random_shares
    assert np.abs(np.mean(random_alike)) < 0.35, random_alike


def test_layers_become_random_from_the_classifier_on():
    torch.manual_seed(0)
    net, fresh = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 2))
                  for _ in range(2))  # fmt: skip
    before = {name: value.clone() for name, value in net.state_dict().items()}
    seen = []
    for share, made in sanity.randomised(net, fresh):
        changed = {name.partition(".")[0] for name, value in made.state_dict().items()
                   if not torch.equal(value, before[name])}  # fmt: skip
        seen.append((share, changed))
    assert seen[0] == (0.25, {"4"}) and seen[1] == (0.5, {"4", "3"}) and seen[-1][0] == 1.0
    assert {"0", "3", "4"} <= seen[-1][1]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "the trained one stays"
