"""``--device`` in all its forms, with CUDA imitated where it matters."""

from __future__ import annotations

import pytest
import torch

from skeleton_lab import registry
from skeleton_lab.engine.config.options import parse
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.devices import Devices, resolve

RECIPE = registry.find("CTR-GCN").recipe


def asked(device, use_gpu=True) -> Devices:
    return resolve(device, use_gpu)


@pytest.fixture
def gpus(monkeypatch):
    """A machine with two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")


@pytest.fixture
def no_cuda_calls(monkeypatch):
    for name in ("is_available", "device_count", "init", "current_device"):
        monkeypatch.setattr(torch.cuda, name, lambda: pytest.fail("CUDA was called"))


@pytest.mark.parametrize("device", ["cpu", -1, ["cpu"], [-1], ["cpu", 0], [-1, 0, 1]])
def test_cpu_first_never_touches_cuda(device, no_cuda_calls):
    assert asked(device) == Devices("cpu", [])


def test_use_gpu_false_wins_over_any_device(no_cuda_calls):
    assert asked([0, 1, 2, 3], use_gpu=False) == Devices("cpu", [])


@pytest.mark.parametrize(
    "device, indices",
    [(0, [0]), ([0], [0]), ([0, 1], [0, 1]), ([1, 0], [1, 0]), ("cuda", [0]), ("cuda:1", [1]), (["cuda:1", 0], [1, 0])],
)
def test_gpus_that_exist(device, indices, gpus):
    assert asked(device) == Devices("cuda", indices)


def test_missing_gpu_lists_those_that_exist(gpus):
    with pytest.raises(UsageError, match=r"no GPU 6.*0 \(Card 0\), 1 \(Card 1\)"):
        asked([6])


@pytest.mark.parametrize("device, words", [([0, 0], "twice"), (["cuda:1", 1], "twice"), ([0, "cpu"], "do not mix")])
def test_lists_that_make_no_sense(device, words, gpus):
    with pytest.raises(UsageError, match=words):
        asked(device)


@pytest.mark.parametrize("device", [0, [6], [0, 1, 2, 3], "cuda"])
def test_without_cuda_everything_runs_on_the_cpu(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    devices = asked(device)
    assert (devices.kind, devices.indices) == ("cpu", [])
    assert "no CUDA device" in devices.notice and "\n" not in devices.notice


@pytest.mark.parametrize(
    "words, expected",
    [(["0"], [0]), (["0", "1"], [0, 1]), (["-1"], [-1]), (["cpu"], ["cpu"]), (["CUDA:1"], ["cuda:1"])],
)
def test_forms_on_the_command_line(words, expected, tmp_path):
    assert parse(RECIPE, ["--device", *words], tmp_path).device == expected
    assert parse(RECIPE, ["--num-worker", "0", "--device", *words, "--seed", "3"], tmp_path).device == expected


@pytest.mark.parametrize("word", ["banana", "0,1", "cuda:", "cuda:x", "-2", "1.5", "gpu"])
def test_words_that_are_no_device(word, tmp_path):
    with pytest.raises(UsageError, match="--device"):
        parse(RECIPE, ["--device", word], tmp_path)
