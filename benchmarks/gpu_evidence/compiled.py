"""Training step and inference of the plain form under ``torch.compile``, as ``--compile`` has it."""

from __future__ import annotations

import time

import torch

from benchmarks.gpu_evidence.networks import Step, milliseconds, rooms, work
from benchmarks.gpu_evidence.schedule import Report, Skipped
from skeleton_lab import registry
from skeleton_lab.engine.compiling import missing_compiler
from skeleton_lab.nn import unfuse

CLIPS = 16  # of a batch in inference


def part(report: Report) -> None:
    lacks = missing_compiler(report.device)
    if lacks:
        raise Skipped(f"torch.compile needs {lacks}")
    backend = "aot_eager" if report.dry else "inductor"  # traced as for the GPU, without minutes of a C++ compiler
    for room in ["ST-GCN"] if report.dry else rooms(report):
        with report.attempt(room=room), registry.room(room):  # the compiler looks modules up by their names
            task = work(report, room)
            torch._dynamo.reset()
            net = torch.compile(unfuse(task.net), fullgraph=True, backend=backend)
            names = {"room": room, "form": "plain, compiled", "arithmetic": "float32", "batch": task.recipe.forward}
            report.row(**names, what="training step", **timed(task.training(net), report))
            if report.left > 0 and not report.dry:
                report.row(**names | {"batch": CLIPS}, what="inference", **timed(task.inference(CLIPS, net), report))


def timed(step: Step, report: Report) -> dict[str, float]:
    """Seconds of the first step, which compiles, and milliseconds of one of the others."""
    begun = time.monotonic()
    step()
    seconds = time.monotonic() - begun
    return {"first_step_seconds": seconds, "ms": milliseconds(step, report.device, 0.0 if report.dry else 1.0)}
