"""Seconds and memory of the training steps of one model."""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skeleton_lab.baselines.comparison import ROOM_MODELS, Result
from skeleton_lab.baselines.models import (
    CLASSES,
    COORDINATES,
    JOINTS,
    PERSONS,
    SimpleMLP,
    SimpleSTBackbone,
    STGCNBackbone,
)
from skeleton_lab.baselines.training import half
from skeleton_lab.cost import counting, program
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.errors import LabError
from skeleton_lab.registry import find, room

NETWORKS = {
    "simple": lambda T: SimpleSTBackbone(),
    "stgcn_lite": lambda T: STGCNBackbone(),
    "mlp": lambda T: SimpleMLP(T * PERSONS * JOINTS * COORDINATES),
}


class Case(NamedTuple):
    model: nn.Module
    inputs: tuple[Tensor, ...]
    frames: int


def case(key: str, batch: int, frames: int) -> Case:
    """A model with 60 classes and random input x (B, 3, T, 25, 2).

    A network that cannot take so many frames gets the next number above that it can (at most 64 more).

    Raises:
        UsageError: the room is not here.
    """
    if key in NETWORKS:
        return Case(NETWORKS[key](frames), (torch.randn(batch, COORDINATES, frames, JOINTS, PERSONS),), frames)
    name, config = ROOM_MODELS[key].room, ROOM_MODELS[key].config
    refusal: LabError | None = None
    for T in range(frames, frames + 65):
        wishes = argparse.Namespace(
            room=name, config=config, num_class=CLASSES, frames=T, activation_checkpointing=False, trust_code=False
        )
        try:
            model, model_args = program.build(wishes)
            inputs = counting.example(model_args, batch, T)
            with room(name), torch.no_grad():
                model.eval()(*(each[:1] for each in inputs))
            return Case(model, inputs, T)
        except LabError as error:
            if not find(name).path.is_dir():
                raise
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def measure(key: str, options: argparse.Namespace, device: torch.device) -> Result:
    """Time ``options.steps`` steps of Adam, after one that is not timed."""
    model, inputs, frames = case(key, options.batch_size, options.seq_len)
    model = model.to(device).train()
    inputs = tuple(each.to(device) for each in inputs)
    y = torch.randint(CLASSES, (options.batch_size,), device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler(device.type, enabled=options.amp)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with half(device) if options.amp else contextlib.nullcontext():
            loss = Criterion(net=model)(model(*inputs), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    step()
    settle(device)
    begun = time.perf_counter()
    for _ in range(options.steps):
        step()
    settle(device)
    return Result(key, frames, time.perf_counter() - begun, peak_memory(device))


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: of tensors on a GPU, of the whole process (all models so far) on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
