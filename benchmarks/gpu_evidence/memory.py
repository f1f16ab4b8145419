"""Memory of a training step: forecast, measured, and whether the published batch fits an 8 GB card."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu_evidence.archive import archive, flags
from benchmarks.gpu_evidence.networks import peak, rooms, work
from benchmarks.gpu_evidence.schedule import Report
from skeleton_lab import registry
from skeleton_lab.cost.flags import BUDGET_GIB
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory import forecast


def part(report: Report) -> None:
    for room in rooms(report):
        for checkpointing in (False, True):
            with report.attempt(room=room, checkpointing=checkpointing):
                report.row(room=room, **measured(report, room, checkpointing))
    kept = [row for row in report.content["rows"] if not row.get("checkpointing")]
    large = {row["room"] for row in kept if not row.get("fits_8gb_forecast", True)}
    for room in sorted(rooms(report), key=lambda room: room not in large):  # those that need it first
        if report.left <= 0:
            return
        with report.attempt(room=room):
            report.row(room=room, **chosen(report, room))


def measured(report: Report, room: str, checkpointing: bool) -> dict[str, Any]:
    """Forecast and measured peak of a step with the recipe's forward batch, in GiB without the CUDA context."""
    task = work(report, room)
    task.net.activation_checkpointing = checkpointing
    forward, states = task.recipe.forward, 3 if task.recipe.optimizer == "SGD" else 4
    counted = forecast.forecast(task.net, task.inputs, forward, states, "cuda", Criterion(net=task.net), alone=True)
    expected = counted.step_bytes(forward, 0) / forecast.GIB
    used = peak(task.training(), report.device)
    with card(report.device):
        fits = peak(task.training(), report.device) is not None
    used = None if not used else used / forecast.GIB
    return {
        "checkpointing": checkpointing, "batch": forward, "frames": task.recipe.frames,
        "forecast_gib": expected, "measured_gib": used, "ratio": used and expected / used,
        "fits_8gb_forecast": counted.step_bytes(forward) <= BUDGET_GIB * forecast.GIB, "fits_8gb": fits,
    }  # fmt: skip


@contextlib.contextmanager
def card(device: str, gib: float = BUDGET_GIB) -> Iterator[None]:
    """As on a card that leaves ``gib`` to the process: the allocator gets them without what the CUDA context takes."""
    if device != "cuda":
        yield
        return
    share = (gib * forecast.GIB - forecast.CONTEXT_BYTES) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(share, 1.0))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def chosen(report: Report, room: str) -> dict[str, Any]:
    """What ``--memory`` makes of the published recipe: a short training with it, by the room's own program."""
    amount = "auto" if report.dry else f"{BUDGET_GIB:g}"
    words = [*flags(report, room, "memory"), "--num-epoch", "1", "--memory", amount]
    done = subprocess.run(
        [sys.executable, "main.py", *words], cwd=registry.find(room).path, capture_output=True, text=True,
        env={**os.environ, "NTU60_ROOT": str(archive(report).parent)}, timeout=max(report.left, 1),
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    told = [line for line in lines if "memory" in line.lower() or line.startswith("error:")]
    said = " / ".join(told)[:400]
    return {"memory_flag": amount, "exit_code": done.returncode, "said": said, "ok": done.returncode == 0}
