"""``skeleton-lab plan``: cards, the order of settings, forecasts, and what is written."""

from __future__ import annotations

import functools
import json

import pytest
import torch
from torch import nn

from skeleton_lab import registry
from skeleton_lab.cost.kernels import Kernel
from skeleton_lab.data.synthetic import archive
from skeleton_lab.engine.memory.forecast import GIB, Memory
from skeleton_lab.engine.memory.settings import Settings
from skeleton_lab.errors import UsageError
from skeleton_lab.plan import cards, data, machine, planning, steps, words
from skeleton_lab.plan.program import main
from skeleton_lab.registry import ROOMS


def test_a_card_is_found_however_it_is_written():
    assert cards.find("NVIDIA GeForce rtx-4060") is cards.find("RTX 4060") and cards.find("RTX 4060").memory == 8
    own = cards.find("8GB, 272 GB/s, 15.5TFLOP/s")
    assert (own.memory, own.bandwidth, own.fp32, own.half) == (8, 272, 15.5, 0)
    assert all(card.source and card.half >= 0 and card.fp32 > 1 for card in cards.CARDS)


SHEETS = {  # cores, boost clock in MHz, bits of the memory's bus, Gbit/s of each
    "GTX 1080 Ti": (3584, 1582, 352, 11), "RTX 2080 Ti": (4352, 1545, 352, 14), "RTX 3050": (2560, 1777, 128, 14),
    "RTX 3060": (3584, 1777, 192, 15), "RTX 3070": (5888, 1725, 256, 14), "RTX 3090": (10496, 1695, 384, 19.5),
    "RTX 4060": (3072, 2460, 128, 17), "RTX 4060 Ti": (4352, 2535, 128, 18), "RTX 4070": (5888, 2475, 192, 21),
    "RTX 4090": (16384, 2520, 384, 21), "T4": (2560, 1590, 256, 10), "A100": (6912, 1410, 5120, 2.43),
    "A100 80GB": (6912, 1410, 5120, 3.186), "H100": (16896, 1980, 5120, 5.23), "H200": (16896, 1980, 6144, 6.25),
}  # fmt: skip


def test_figures_of_cards_are_those_of_their_cores_and_memory():
    for card in cards.CARDS:
        cores, clock, bits, rate = SHEETS[card.name]
        assert card.fp32 == pytest.approx(2 * cores * clock / 1e6, rel=0.01), card.name
        assert card.bandwidth == pytest.approx(bits * rate / 8, rel=0.01), card.name


@pytest.mark.parametrize("text", ["RTX 4061", "0GB,1GB/s,1TFLOP/s", "8GB,272GB/s", ""])
def test_an_unknown_card_is_an_error(text):
    with pytest.raises(UsageError, match="--card"):
        cards.find(text)


def test_the_nearest_card_is_named_and_the_exit_code_is_2(tmp_path, capsys):
    assert main(["--card", "RTX 4061", "--out", str(tmp_path)]) == 2
    assert "Did you mean 'RTX 406" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_forecast_is_launches_and_the_longer_of_arithmetic_and_bytes():
    card = cards.find("8GB,100GB/s,10TFLOP/s")
    count = steps.Count([Kernel("mm", 10**12, 10**9), Kernel("add", 0, 10**9)], 4, Memory(0, ((1, 0),)))
    assert count.seconds(card, 4) == pytest.approx(0.1 + 0.01 + 10e-6)
    assert count.seconds(card, 2) == pytest.approx(0.055 + 10e-6), "launches stay"


def test_the_memory_that_is_counted_is_what_backward_needs():
    net = nn.Sequential(nn.Linear(1000, 1000, bias=False), nn.Sigmoid(), nn.Linear(1000, 10, bias=False))
    count = steps.counted(net, [torch.zeros(1, 1000)], 500, 3)
    activation = 4 * 1000 * 500  # bytes of one
    peak = count.memory.live_bytes(500) - 4 * 2 * 1_010_000  # without parameters and momentum
    assert activation <= peak <= 4.2 * activation + 4 * 1_010_000
    products = 2 * 500 * (1000 * 1000 * 2 + 1000 * 10 * 3)  # no gradient of the input
    assert sum(k.flops for k in count.kernels) == products


def test_the_share_of_clips_of_one_person_is_counted(tmp_path):
    path = archive.write(tmp_path / "a.npz", train=12, test=4, classes=4, frames=40, progress=False)
    found = data.read(tmp_path / "a.npz")
    from skeleton_lab.data.archives.opening import open_archive

    clips = open_archive(tmp_path / "a.npz", "train")
    both = sum(bool(clips.clips([k])[0, ..., 1].any()) for k in range(12))
    assert (found.clips, found.alone) == (12, 1 - both / 12), path


def test_presets_are_configurations_of_the_room():
    assert all((room.path / config).is_file() for room in ROOMS for config in room.presets)
    assert sum(len(room.presets) for room in ROOMS) >= 5


@pytest.mark.slow
def test_a_room_that_does_not_fit_is_given_settings_and_less_memory(monkeypatch):
    monkeypatch.setattr(planning, "Network", functools.cache(planning.Network))  # counted once for four cards
    room = next(room for room in ROOMS if room.program == "C")
    given = [machine.find("RTX 4060", "auto", budget) for budget in (8, 3, 0.9, 0.1)]
    rows = [planning.row(room, str(room.config), where, data.published()) for where in given]
    assert [words.verdict(row) for row in rows] == ["yes", "with", "with", "no"]
    assert rows[1].flags == "--activation-checkpointing" and rows[1].same and rows[1].hours > rows[0].hours
    assert "--forward-batch-size" in rows[2].flags and not rows[2].same
    assert all(row.memory <= where.budget for row, where in zip(rows[:3], given))
    assert rows[0].hours * 3600 == pytest.approx(65 * rows[0].epoch)


def test_an_epoch_that_goes_through_the_clips_several_times_takes_as_often_as_long(monkeypatch):
    """ST-GCN++'s recipes repeat them five times, ProtoGCN's do not."""
    room, seen = registry.find("PYSKL"), {}
    monkeypatch.setattr(planning, "_seconds", lambda *_: (2.0, None, "a clock"))
    monkeypatch.setattr(planning, "ways", lambda *_: [Settings(16, False, "32")])
    monkeypatch.setattr(planning.Network, "memory", lambda *_: 0.0)
    monkeypatch.setattr(planning, "_host", lambda *_: 0.0)
    for config in ("config/stgcnpp/ntu60_xsub_3dkp/j.yaml", "config/protogcn/ntu60_xsub/j.yaml"):
        told = planning.row(room, config, machine.find("T4", "auto", 8), data.Data("some", 1600, 0.0, 1))
        seen[config.split("/")[1]] = told.epoch
    assert seen == {"stgcnpp": 1000.0, "protogcn": 200.0}


def test_the_plan_of_a_room_is_written_and_says_what_is_measured(tmp_path, capsys):
    assert main(["--room", "FS-VAE", "--device", "cpu", "--out", str(tmp_path / "new")]) == 0
    said, told = capsys.readouterr().out, json.loads((tmp_path / "new/plan.json").read_text())
    assert "FS-VAE" in said and "Time is measured" in said and "Memory is a forecast" in said
    (row,) = told["rows"]
    assert row["fits"] and row["time_from"] == "measured" and row["hours"] > 0 and told["machine"]["card"] is None
    assert "FS-VAE" in (tmp_path / "new/plan.html").read_text()


def test_flags_that_cannot_be_are_errors(tmp_path, capsys):
    (tmp_path / "plan.html").mkdir()  # where the page is to be
    (tmp_path / "file").touch()
    for words_ in (["--memory", "0"], ["--memory", "nan"], ["--card", "T4", "--device", "cpu"],
                   ["--out", str(tmp_path / "file/x")], ["--room", "XYZ"], ["--card", ""],
                   ["--out", str(tmp_path)]):  # fmt: skip
        assert main(words_) == 2 and capsys.readouterr().err.count("\n") == 1


def test_a_measured_step_is_of_the_settings():
    net = nn.Linear(8, 3)
    seen = []
    net.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    seconds, most = steps.measured(
        net, lambda n: (torch.randn(n, 8),), Settings(5, False, "32"), torch.device("cpu"), 2
    )
    assert seen == [5, 5, 5] and seconds > 0 and most is None and seconds < GIB
