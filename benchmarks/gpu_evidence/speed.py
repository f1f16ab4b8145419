"""Training step and inference of both forms at the recipe's batch, in float32, TF32 and bfloat16."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu_evidence.networks import Work, arithmetics, milliseconds, release, rooms, tf32, work
from benchmarks.gpu_evidence.schedule import Report
from skeleton_lab import registry
from skeleton_lab.nn import fuse, unfuse


def part(report: Report) -> None:
    for room in rooms(report):
        with report.attempt(room=room):
            measure(report, room)


def measure(report: Report, room: str) -> None:
    """The rows of one room; the forms have the same weights and the same batch."""
    task = work(report, room)
    for form, change in (("plain", unfuse), ("fused", fuse)):
        with registry.room(room):
            change(task.net)
        for arithmetic, (dtype, allowed) in arithmetics(report):
            names = {"room": room, "form": form, "arithmetic": arithmetic}
            with report.attempt(**names), tf32(allowed):
                report.row(**names, **timed(task, report, dtype))
            release(torch.device(report.device))


def timed(task: Work, report: Report, dtype: torch.dtype | None) -> dict[str, Any]:
    """Milliseconds of a training step, and of inference with one clip and with sixteen."""
    seconds, many = (0.0, 2) if report.dry else (1.0, 16)
    step = milliseconds(task.training(dtype=dtype), report.device, seconds)
    one = milliseconds(task.inference(1, dtype=dtype), report.device, seconds / 3)
    some = milliseconds(task.inference(many, dtype=dtype), report.device, seconds / 3)
    batch = task.recipe.forward
    return {
        "batch": batch, "frames": task.recipe.frames, "step_ms": step, "clips_per_second": 1e3 * batch / step,
        "inference_1_ms": one, f"inference_{many}_ms": some,
    }  # fmt: skip
