"""Which models the benchmark compares, and the table of their figures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skeleton_lab.registry import MODELS, ROOMS

if TYPE_CHECKING:
    import torch

SMALL = ("simple", "stgcn_lite", "mlp")
ROOM_MODELS = {  # every supervised room's network, and its larger one where there is one
    each.name.replace("-", "_"): each
    for this in ROOMS
    for each in MODELS
    if this.program and each.name in (this.image, f"{this.image}-large")
}
KEYS = (*SMALL, *ROOM_MODELS)
COLUMNS = ("", "model", "steps", "batch", "seq_len", "device", "amp", "seconds", "ms/step", "peak MB")


@dataclass
class Result:
    """One row; ``frames`` is what the model got, ``peak`` its most memory in bytes; ``error`` instead if it failed."""

    key: str
    frames: int
    seconds: float = 0.0
    peak: int = 0
    error: str | None = None


def table(results: Sequence[Result], options: argparse.Namespace, device: torch.device) -> list[str]:
    rows = [COLUMNS]
    for r in results:
        mark = "OK" if r.error is None else "FAIL"
        numbers = (f"{r.seconds:.3f}", f"{1000 * r.seconds / options.steps:.1f}", f"{r.peak / 2**20:.0f}")
        settings = (options.steps, options.batch_size, r.frames, device, "on" if options.amp else "off")
        rows.append((mark, r.key, *map(str, settings), *(numbers if r.error is None else ("-", "-", "-"))))
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]
