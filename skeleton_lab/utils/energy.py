"""Energy as the device itself counts it: an NVIDIA GPU (NVML), or the processors (Linux's powercap, "RAPL").

Both count what the whole device takes, whoever uses it. The counter of processors can often be read by root alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

try:
    import pynvml  # NVIDIA's own, of the extra ``energy``
except ImportError:
    pynvml = None

if TYPE_CHECKING:
    import torch

POWERCAP = Path("/sys/class/powercap")
PAUSE = 60.0  # seconds between looks: to ask a GPU takes milliseconds, and no counter goes round within minutes
FAULTS = (OSError, ValueError, *(() if pynvml is None else (pynvml.NVMLError,)))


class Counter(NamedTuple):
    """``read()`` gives joules since some time; at ``range`` it begins at 0 again."""

    read: Callable[[], float]
    range: float = math.inf


class Meter:
    """Joules since it was made; ``look`` is for the loop: a processor's counter goes round within the hour."""

    def __init__(self, device: torch.device) -> None:
        self._joules, self._before, self._looked = 0.0, [], time.monotonic()
        try:
            self._counters = _gpu(device) if device.type == "cuda" else _processors()
            self._before = [counter.read() for counter in self._counters]
        except FAULTS:  # there, and not ours to read
            self._counters = []

    def look(self) -> None:
        """May be called at every batch: it looks once a minute."""
        if time.monotonic() - self._looked >= PAUSE:
            self._look()

    def _look(self) -> None:
        """Add what has gone since the last look."""
        self._looked = time.monotonic()
        try:
            now = [counter.read() for counter in self._counters]
        except FAULTS:
            self._counters = []
            return
        for counter, before, after in zip(self._counters, self._before, now):
            self._joules += after - before + (counter.range if after < before else 0.0)
        self._before = now

    @property
    def joules(self) -> float | None:
        """None where no device tells."""
        self._look()
        return self._joules if self._counters else None


def _processors() -> list[Counter]:
    """One of each package; what lies within one, as its memory, has a second colon in its name."""
    return [_package(folder) for folder in sorted(POWERCAP.glob("intel-rapl:*")) if folder.name.count(":") == 1]


def _package(folder: Path) -> Counter:
    most = int((folder / "max_energy_range_uj").read_text())
    return Counter(lambda: int((folder / "energy_uj").read_text()) / 1e6, most / 1e6)


def _gpu(device: torch.device) -> list[Counter]:
    if pynvml is None:
        return []
    from torch import cuda

    pynvml.nvmlInit()
    try:  # past CUDA_VISIBLE_DEVICES; PyTorch's own and not public, and at a loss with parts of a GPU (MIG)
        index = cuda._get_nvml_device_index(device)
    except (AttributeError, LookupError, RuntimeError, ValueError):
        return []
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return [Counter(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)]
