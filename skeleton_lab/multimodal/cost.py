"""Time and memory of fusion against the skeleton alone, measured on a batch of test clips."""

from __future__ import annotations

import copy
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from skeleton_lab.cost.counting import SavedTensors, storage_key
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.described import WithDescriptors
from skeleton_lab.engine.logging import peak_memory
from skeleton_lab.inference.network import Network
from skeleton_lab.multimodal.clips import Task, feeder_of
from skeleton_lab.multimodal.training import Read, Tuned, moved
from skeleton_lab.nn.fusion import GatedFusion

CLIPS, TURNS = 16, 4


@torch.no_grad()
def measured(network: Network, task: Task, options: Namespace) -> dict[str, Any]:
    """Of S and of F: parameters, least milliseconds a test clip of network and reading, what a training step keeps for
    its backward pass (MB a clip, counted), on a GPU the peak of the step (MiB).

    And what F holds beside that: parameters and a batch's descriptors, in MB; peaks of the whole program, in MiB.
    """
    device = network.runtime.device
    feeder = feeder_of(network, options, "test")
    batch = Batch(range(min(CLIPS, len(feeder))))
    head = GatedFusion(task.frozen["test"].features.shape[1], task.descriptors.D, task.classes, options.hidden)
    fused = Tuned(copy.deepcopy(network.net), head.to(device)).eval()  # a training step moves running means
    described = Read(feeder, WithDescriptors(feeder, task.descriptors, task.entries["test"]))
    arguments = moved(described(batch)[0], device)

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
    peaks = [_peak(turn, device) for turn in (skeleton, lambda: fused(*arguments))]
    kept = [_kept(fused.train(), turn) / len(batch) for turn in (skeleton, lambda: fused(*arguments))]
    return {
        "clips": len(batch), "device": str(device),
        "S": {"parameters": count, "network_ms": alone, "reading_ms": reading, "kept_mb": kept[0], "gpu_mb": peaks[0]},
        "F": {"parameters": count + more, "network_ms": both, "reading_ms": reading_both,
              "kept_mb": kept[1], "gpu_mb": peaks[1]},
        "more_mb": 4 * (more + arguments[1].numel()) / 1e6, **whole,
    }  # fmt: skip


def _kept(model: nn.Module, turn: Callable[[], Any]) -> float:
    """MB that the forward pass keeps for the backward one, without parameters."""
    saved = SavedTensors({storage_key(each) for each in model.parameters()})
    with torch.enable_grad(), saved:
        made = turn()  # held until it is counted
    total = saved.total() / 1e6
    del made
    return total


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
