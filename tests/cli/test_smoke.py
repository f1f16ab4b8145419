"""The frame that the rooms' smoke tests share."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from skeleton_lab.engine.smoke import CLASSES, sgd_step, smoke_test
from skeleton_lab.utils.devices import pick_device


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:2] + x.shape[3:] == (3, 25, 2)
        return self.fc(x.mean((2, 3, 4)))


@pytest.mark.slow
def test_prints_the_two_lines_and_ends_well(capsys):
    assert smoke_test("CTR-GCN", lambda frames: Tiny(), 24, ["--device", "cpu"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Running CTR-GCN smoke test on cpu"
    assert re.fullmatch(r"Smoke test ok - frames=24, loss=\d+\.\d+, acc=\d+\.\d+%", second)


def test_the_network_is_built_for_the_frames_asked_for(capsys):
    asked = []
    smoke_test("X", lambda frames: asked.append(frames) or Tiny(), 24, ["--frames", "40", "--batch-size", "3"])
    assert asked == [40]
    assert "frames=40" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--frames", "--batch-size"])
def test_sizes_below_one_are_one_line(capsys, flag):
    assert smoke_test("X", lambda frames: Tiny(), 24, [flag, "0"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {flag} must be at least 1, not 0"]


def test_one_value_for_batch_norm_is_one_line(capsys):
    class Normed(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.BatchNorm1d(CLASSES)(super().forward(x))

    assert smoke_test("X", lambda frames: Normed(), 24, ["--batch-size", "1"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: batch normalisation needs more than one value per channel: larger --batch-size or --frames"
    ]


def test_sgd_step_reports_the_state_before_it_and_learns():
    torch.manual_seed(0)
    model, x, y = Tiny(), torch.randn(4, 3, 8, 25, 2), torch.tensor([1, 2, 3, 4])
    expected = nn.functional.cross_entropy(model(x), y).item()
    first, share = sgd_step(model, x, y)
    assert first == pytest.approx(expected)
    assert share in (0, 25, 50, 75, 100)
    assert sgd_step(model, x, y)[0] < first


@pytest.mark.parametrize(
    ("asked", "gpus", "got", "warns"),
    [
        ("auto", 0, "cpu", False),
        ("", 0, "cpu", False),
        ("cpu", 2, "cpu", False),
        ("cuda:0", 0, "cpu", True),
        ("cuda", 0, "cpu", True),
        ("gpu", 0, "cpu", True),
        ("auto", 2, "cuda:0", False),
        ("cuda", 2, "cuda:0", False),
        ("cuda:1", 2, "cuda:1", False),
        ("cuda:2", 2, "cuda:0", True),
        ("tpu", 2, "cuda:0", True),
    ],
)
def test_device_is_the_nearest_that_there_is(monkeypatch, capsys, asked, gpus, got, warns):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert str(pick_device(asked)) == got
    assert capsys.readouterr().err.startswith("warning: --device") == warns
