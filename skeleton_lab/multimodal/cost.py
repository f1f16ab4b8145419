"""Time and memory of fusion against the skeleton alone, measured on a batch of test clips."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch

from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.described import WithDescriptors
from skeleton_lab.engine.logging import peak_memory
from skeleton_lab.inference.network import Network
from skeleton_lab.multimodal.clips import Task, feeder_of
from skeleton_lab.multimodal.training import Read, Tuned, moved
from skeleton_lab.nn.fusion import GatedFusion

CLIPS, TURNS = 32, 5


@torch.inference_mode()
def measured(network: Network, task: Task, options: Namespace) -> dict[str, Any]:
    """Milliseconds a test clip, reading included and without it; parameters; peak of the process in MiB."""
    device = network.runtime.device
    feeder = feeder_of(network, options, "test")
    batch = Batch(range(min(CLIPS, len(feeder))))
    head = GatedFusion(task.frozen["test"].features.shape[1], task.descriptors.D, task.classes, options.hidden)
    fused = Tuned(network.net, head.to(device)).eval()
    described = Read(feeder, WithDescriptors(feeder, task.descriptors, task.entries["test"]))
    arguments = moved(described(batch)[0], device)
    network.net.eval()

    def skeleton() -> Any:
        return fused.features(arguments[0])

    def milliseconds(*turns: Callable[[], Any]) -> list[float]:
        """In turns, so that whatever else the machine does slows down all of them."""
        spent = np.array([[_seconds(turn, device) for turn in turns] for _ in range(TURNS + 1)])[1:]
        return [1000 * median(column) / len(batch) for column in spent.T.tolist()]

    alone, both, reading, reading_both = milliseconds(
        skeleton, lambda: fused(*arguments), lambda: feeder.__getitems__(batch), lambda: described(batch)
    )
    count = sum(each.numel() for each in network.net.parameters())
    more = sum(each.numel() for each in head.parameters())
    return {
        "clips": len(batch), "device": str(device),
        "S": {"parameters": count, "network_ms": alone, "reading_ms": reading},
        "F": {"parameters": count + more, "network_ms": both, "reading_ms": reading_both},
        "descriptor_kb": 4 * arguments[1][0].numel() / 1000, **peak_memory(device),
    }  # fmt: skip


def _seconds(turn: Callable[[], Any], device: torch.device) -> float:
    begun = time.perf_counter()
    turn()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
