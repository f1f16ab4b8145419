"""Time and memory of fusion against the skeleton alone, measured on a batch of test clips."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
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

CLIPS, TURNS = 16, 4


@torch.inference_mode()
def measured(network: Network, task: Task, options: Namespace) -> dict[str, Any]:
    """Of S and of F: parameters, least milliseconds a test clip of network and reading, on a GPU the peak of the step.

    And what F holds beside that: parameters and a batch's descriptors, in MB; peaks of the whole program, in MiB.
    """
    device = network.runtime.device
    feeder = feeder_of(network, options, "test")
    batch = Batch(range(min(CLIPS, len(feeder))))
    head = GatedFusion(task.frozen["test"].features.shape[1], task.descriptors.D, task.classes, options.hidden)
    fused = Tuned(network.net, head.to(device)).eval()
    described = Read(feeder, WithDescriptors(feeder, task.descriptors, task.entries["test"]))
    arguments = moved(described(batch)[0], device)
    network.net.eval()

    def skeleton() -> Any:
        return fused.of_network(arguments[0])

    def milliseconds(*turns: Callable[[], Any]) -> list[float]:
        """In turns, so that whatever else the machine does slows down all of them."""
        spent = np.array([[_seconds(turn, device) for turn in turns] for _ in range(TURNS + 1)])[1:]
        return (1000 * spent.min(0) / len(batch)).tolist()

    alone, both, reading, reading_both = milliseconds(
        skeleton, lambda: fused(*arguments), lambda: feeder.__getitems__(batch), lambda: described(batch)
    )
    count = sum(each.numel() for each in network.net.parameters())
    more = sum(each.numel() for each in head.parameters())
    whole = peak_memory(device)  # before the peaks of steps are counted anew
    return {
        "clips": len(batch), "device": str(device),
        "S": {"parameters": count, "network_ms": alone, "reading_ms": reading, "gpu_mb": _peak(skeleton, device)},
        "F": {"parameters": count + more, "network_ms": both, "reading_ms": reading_both,
              "gpu_mb": _peak(lambda: fused(*arguments), device)},
        "more_mb": 4 * (more + arguments[1].numel()) / 1e6, **whole,
    }  # fmt: skip


def _peak(turn: Callable[[], Any], device: torch.device) -> float | None:
    """MiB of a GPU that a step takes at most, weights included; None on a CPU."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    turn()
    return torch.cuda.max_memory_allocated(device) / 2**20


def _seconds(turn: Callable[[], Any], device: torch.device) -> float:
    begun = time.perf_counter()
    turn()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
