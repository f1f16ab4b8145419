"""Learning rates against values computed with the published programs."""

from __future__ import annotations

from argparse import Namespace

import pytest

from skeleton_lab import registry
from skeleton_lab.engine.recipe import Recipe


def recipe(letter: str) -> Recipe:
    return registry.find(letter).recipe


def options(**given) -> Namespace:
    base = {"step": [20, 40, 60], "lr_decay_rate": 0.1, "warm_up_epoch": 0, "num_epoch": 80, "optimizer": "SGD"}
    return Namespace(**{**base, "warmup_lr": 0.01, "min_lr": 0.01, "warmup_prefix": False, **given})


@pytest.mark.parametrize(
    ("letter", "given", "expected"),
    [
        ("C", {"base_lr": 0.1, "warm_up_epoch": 5, "step": [35, 55]},
         {0: 0.02, 3: 0.08, 4: 0.1, 5: 0.1, 34: 0.1, 35: 0.01, 54: 0.01, 55: 0.001, 64: 0.001}),
        ("H", {"base_lr": 0.05, "warm_up_epoch": 5, "step": [110, 120]},
         {0: 0.01, 109: 0.05, 110: 0.005, 119: 0.005, 120: 0.0005, 139: 0.0005}),
        ("G", {"base_lr": 0.05, "step": [30, 40]}, {29: 0.05, 30: 0.005, 39: 0.005, 40: 0.0005}),
        ("T", {"base_lr": 0.1, "step": [10, 50]}, {9: 0.1, 10: 0.01, 49: 0.01, 50: 0.001}),
        ("T", {"base_lr": 0.1, "step": []}, {0: 0.1, 79: 0.1}),
        ("T", {"base_lr": 0.1, "step": [10], "optimizer": "Adam"}, {9: 0.1, 10: 0.1}),
    ],
)  # fmt: skip
def test_epoch_schedules(letter, given, expected):
    rate = recipe(letter).schedule(options(**given), 100)
    for epoch, lr in expected.items():
        assert rate(epoch, 0) == pytest.approx(lr, rel=1e-9), epoch


STANDARD = {"base_lr": 1e-3, "min_lr": 1e-5, "warmup_lr": 1e-7, "warm_up_epoch": 25, "num_epoch": 500}


@pytest.mark.parametrize(
    ("given", "iterations", "expected"),
    [
        (STANDARD, 313, {
            0: 1e-07, 1: 2.2778275e-07, 313: 4.0096e-05, 7824: 9.9987222e-04, 7825: 9.9390573e-04, 78250: 5.05e-04,
            140849: 3.4230095e-05, 156499: 1.00000000997e-05, 156500: 1e-05,
        }),
        ({**STANDARD, "warmup_prefix": True}, 313,
         {7824: 9.9987222e-04, 7825: 1e-03, 78250: 5.4587678e-04, 156499: 1.00000000111e-05}),
        ({"base_lr": 1e-3, "num_epoch": 500}, 1000, {0: 1e-3, 250000: 5.5e-3}),
    ],
)  # fmt: skip
def test_cosine(given, iterations, expected):
    rate = recipe("S").schedule(options(**given), iterations)
    for step, lr in expected.items():
        assert rate(step // iterations, step) == pytest.approx(lr, rel=5e-8), step


@pytest.mark.parametrize(("epochs", "saved"), [(10, [9, 10]), (5, [5]), (3, [3]), (1, [1])])
def test_skateformer_saves_late(epochs, saved):
    given = Namespace(num_epoch=epochs, save_interval=1, save_epoch=30)
    assert [e for e in range(1, epochs + 1) if recipe("S").saves_after(e, given)] == saved


@pytest.mark.slow
def test_skateformer_saves_the_last_tenth():
    given = Namespace(num_epoch=500)
    assert [e for e in range(1, 501) if recipe("S").saves_after(e, given)] == list(range(450, 501))


def test_names():
    step = 40091 // 8
    assert recipe("C").weights.format(epoch=1, step=step) == "runs-1-5011.pt"
    assert recipe("C").weights.format(epoch=65, step=65 * (40091 // 64)) == "runs-65-40690.pt"
    step = 50 * (40091 // 32)
    assert recipe("G").weights.format(epoch=50, step=step) == "weights/weights-50-62600.pt"
    name = recipe("G").checkpoint.format(epoch=50, step=step, forward_batch_size=16)
    assert name == "checkpoints/checkpoint-50-fwbz16-62600.pt"


@pytest.mark.slow
def test_when_weights_are_saved():
    given = Namespace(num_epoch=12, save_interval=3, save_epoch=5)
    assert [e for e in range(1, 13) if recipe("C").saves_after(e, given)] == [6, 9, 12]
    assert [e for e in range(1, 13) if recipe("G").saves_after(e, given)] == [3, 6, 9, 12]
    given = Namespace(num_epoch=1, save_interval=1, save_epoch=30)
    assert recipe("C").saves_after(1, given), "a run of one epoch leaves its weights"
