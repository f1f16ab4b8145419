"""A training whose batch is too large for the memory it gets: the engine halves the forward batch and goes on."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.gpu_evidence.archive import archive, flags
from benchmarks.gpu_evidence.memory import card
from benchmarks.gpu_evidence.schedule import Report
from skeleton_lab import registry
from skeleton_lab.engine import run

ROOM = "CTR-GCN"
GIB, CLIPS = 3.0, 64  # a card of 4 GB, and a batch that needs about three times that


def part(report: Report) -> None:
    report.row(room=ROOM, **trained(report))


def trained(report: Report) -> dict[str, Any]:
    """An epoch under the limit: which forward batches the engine came down to, and that it trained."""
    this = registry.find(ROOM)
    words = [*flags(report, ROOM, "oom"), "--num-epoch", "1"]
    words += [] if report.dry else ["--batch-size", str(CLIPS), "--test-batch-size", "64"]
    os.environ["NTU60_ROOT"] = str(archive(report).parent)
    log = report.folder / "runs" / f"oom-{ROOM}" / "log.txt"
    limit = refused_on_the_cpu(2) if report.dry else card(report.device, GIB)
    with registry.room(ROOM), inside(this.path), limit, contextlib.redirect_stdout(io.StringIO()):
        code = run(this.recipe, str(this.path / "main.py"), words)
    pieces = re.findall(r"Out of GPU memory .*?--forward-batch-size (\d+)", log.read_text())
    return {
        "memory_gib": None if report.dry else GIB, "exit_code": code, "forward_batches": [int(n) for n in pieces],
        "ok": code == 0 and bool(pieces),
    }  # fmt: skip


@contextlib.contextmanager
def inside(folder: Any) -> Iterator[None]:
    before = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def refused_on_the_cpu(most: int) -> Iterator[None]:
    """The CPU's memory has no such limit: here every network refuses more than ``most`` clips, as a full GPU would."""

    def refuse(module: nn.Module, inputs: Any) -> None:
        if hasattr(module, "activation_checkpointing") and len(inputs[0]) > most and torch.is_grad_enabled():
            raise torch.cuda.OutOfMemoryError("dry run")

    handle = nn.modules.module.register_module_forward_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()
