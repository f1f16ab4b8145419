"""Clips a second of every room's feeder, with its recipe's loader processes, against those that the step takes."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from benchmarks.gpu_evidence.archive import archive, flags
from benchmarks.gpu_evidence.networks import rooms
from benchmarks.gpu_evidence.schedule import Report, read
from skeleton_lab import registry
from skeleton_lab.engine.config import options as engine_options
from skeleton_lab.engine.dataloader import BatchPlan, make_feeder, make_loader

SECONDS = 3.0


def part(report: Report) -> None:
    os.environ["NTU60_ROOT"] = str(archive(report).parent)
    steps = {
        row["room"]: row["clips_per_second"]
        for row in read(report.folder / "speed.json").get("rows", [])
        if row.get("form") == "fused" and row.get("arithmetic") == "float32" and "clips_per_second" in row
    }
    for room in rooms(report):
        with report.attempt(room=room):
            found, step = fed(report, room), steps.get(room)
            share = step and found["clips_per_second"] / step
            report.row(room=room, **found, step_clips_per_second=step, times_the_step=share)


def fed(report: Report, room: str) -> dict[str, Any]:
    """Batches as the training gets them, up to the device; the first one, which starts the processes, is left out."""
    this = registry.find(room)
    words = [word for word in flags(report, room, "feeder") if word != "recognition"]
    with registry.room(room):
        options = engine_options.parse(this.recipe, words, this.path)
        options.seed = 1  # as a run draws it where the recipe names none
        feeder = make_feeder(options, options.train_feeder_args)
        batch = min(options.batch_size, len(feeder))
        workers = 0 if report.dry else min(options.num_worker, os.cpu_count() or 1)
        plan = BatchPlan(len(feeder), batch, seed=1, shuffle=True)
        loader = make_loader(feeder, plan, workers, torch.device(report.device), 1)
        clips, begun = -batch, 0.0
        for plan.epoch in range(1000):
            for data, *_ in loader:
                data.to(report.device, non_blocking=True)
                begun = begun or time.perf_counter()
                clips += batch
            if clips and time.perf_counter() - begun > (0 if report.dry else SECONDS):
                break
        seconds = time.perf_counter() - begun
    return {"batch": batch, "workers": workers, "clips_per_second": clips / seconds}
