"""Joules of a training: from counters of processors that go round, from NVML, or from nobody."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from skeleton_lab.utils import energy

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


def package(folder, name, joules, most):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{round(most * 1e6)}\n")


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    monkeypatch.setattr(energy, "PAUSE", 0.0)
    return tmp_path


def test_packages_are_added_up_also_where_their_counters_go_round(powercap):
    package(powercap, "intel-rapl:0", 990, 1000)
    package(powercap, "intel-rapl:1", 5, 1000)
    package(powercap, "intel-rapl:0:0", 7, 1000)  # of the first one's memory: in its package's already
    (powercap / "intel-rapl").mkdir()
    meter = energy.Meter(CPU)
    package(powercap, "intel-rapl:0", 30, 1000)
    package(powercap, "intel-rapl:0:0", 700, 1000)
    meter.look()
    package(powercap, "intel-rapl:0", 50, 1000)
    package(powercap, "intel-rapl:1", 6, 1000)
    assert meter.joules == pytest.approx(10 + 50 + 1)


def test_a_counter_that_is_gone_or_not_ours_says_nothing(powercap):
    assert energy.Meter(CPU).joules is None
    package(powercap, "intel-rapl:0", 1, 1000)
    meter = energy.Meter(CPU)
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.joules is None
    (powercap / "intel-rapl:0" / "energy_uj").mkdir()  # cannot be read, by root either
    assert energy.Meter(CPU).joules is None


def test_a_gpu_tells_in_millijoules(monkeypatch):
    """A stand-in for NVML's own package: what it is asked, and what a GPU that does not count answers."""

    class Error(Exception):
        pass

    def unknown(device):
        raise RuntimeError("device 0 is not visible")

    told = iter([1_000, 3_500, Error()])

    def total(handle):
        assert handle == "GPU of place 3"
        value = next(told)
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(energy, "pynvml", SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda place: f"GPU of place {place}",
        nvmlDeviceGetTotalEnergyConsumption=total,
    ))  # fmt: skip
    monkeypatch.setattr(energy, "FAULTS", (Error,))
    monkeypatch.setattr(torch.cuda, "_get_nvml_device_index", lambda device: 3, raising=False)
    meter = energy.Meter(GPU)
    assert meter.joules == 2.5
    assert meter.joules is None
    monkeypatch.setattr(torch.cuda, "_get_nvml_device_index", unknown)
    assert energy.Meter(GPU).joules is None
    monkeypatch.setattr(energy, "pynvml", None)
    assert energy.Meter(GPU).joules is None


def test_a_loop_of_quick_batches_asks_seldom(powercap, monkeypatch):
    monkeypatch.setattr(energy, "PAUSE", 60.0)
    package(powercap, "intel-rapl:0", 0, 1000)
    meter = energy.Meter(CPU)
    (powercap / "intel-rapl:0" / "energy_uj").write_text("none of your business\n")
    meter.look()
    package(powercap, "intel-rapl:0", 7, 1000)
    assert meter.joules == pytest.approx(7)
