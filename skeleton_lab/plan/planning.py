"""A plan for every room and preset: settings that fit, memory, time."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skeleton_lab.cost import kernels, program
from skeleton_lab.cost.program import FEATURES, TEXTS, Pair, Recipe
from skeleton_lab.engine.memory.forecast import GIB, narrowed
from skeleton_lab.engine.memory.settings import HALVES, Settings, ways
from skeleton_lab.plan import steps
from skeleton_lab.plan.data import Data
from skeleton_lab.plan.machine import Machine
from skeleton_lab.plan.steps import FORECAST, MEASURED, Count
from skeleton_lab.registry import Room

CYCLES, CYCLE = 10, 1700  # of the zero-shot rooms' published training on NTU RGB+D 60: cycles, steps of one


@dataclass(frozen=True)
class Row:
    """The answer for one configuration.

    Attributes:
        epochs: of the recipe; ``epoch`` and ``hours``: seconds of one and hours of all, with ``flags``.
        fits: as published.  flags: what to add so that it fits; None: nothing does.
        same: these leave the numbers those of the recipe.
        memory: GiB at the highest point of a step; memory_from, time_from: measured, calibrated (measured with few
            samples, scaled by rates of the device) or forecast.
        host: GiB of the training process and its loaders beside the archive's pages.
    """

    room: str
    config: str
    batch: int
    epochs: int
    fits: bool
    flags: str | None
    same: bool
    memory: float
    memory_from: str
    epoch: float
    hours: float
    time_from: str
    host: float


class Network:
    """A configuration with its counts, each made when it is asked for; ``batch``, ``frames``: in place of its own."""

    def __init__(self, this: Room, config: str, batch: int | None = None, frames: int | None = None):
        wishes = argparse.Namespace(
            room=this.folder, config=config, batch=batch, frames=frames, forward_batch_size=None, precision=None,
            num_class=None, single_person=0.0, activation_checkpointing=False, trust_code=False,
        )  # fmt: skip
        self.recipe: Recipe
        self.model: nn.Module
        self.samples: Callable[[int], tuple[Tensor, ...]]
        self.recipe, self.model, self.samples = program.prepared(this, wishes)
        persons = self.samples(1)[0].shape[1 + getattr(self.model, "axes", "CTVM").index("M")]
        self.merges = bool(getattr(self.model, "merge_empty_bodies", False)) and persons == 2
        self.checkpoints = hasattr(self.model, "activation_checkpointing")
        self._counts: dict[bool, Count] = {}
        self._narrow: dict[str, float] = {}

    def count(self, checkpointing: bool) -> Count:
        if checkpointing not in self._counts:
            if self.checkpoints:
                self.model.activation_checkpointing = checkpointing
            counted = steps.counted(self.model, self.samples(1), self.recipe.forward, self.recipe.states)
            self._counts[checkpointing] = counted
        return self._counts[checkpointing]

    def narrow(self, settings: Settings) -> float:
        """The share of the memory that the precision leaves."""
        half = settings.precision
        if half not in self._narrow:
            self._narrow[half] = narrowed(self.model, self.samples(2), half, torch.device("cpu"))
        return self._narrow[half]

    def memory(self, settings: Settings) -> float:
        """Forecast of the highest point, in bytes."""
        memory = self.count(settings.checkpointing).memory
        return memory.scaled(self.narrow(settings)).step_bytes(settings.forward)


def row(
    this: Room, config: str, machine: Machine, data: Data, batch: int | None = None, frames: int | None = None
) -> Row:
    """The answer for a configuration of a supervised room, with a batch or frames in place of its own."""
    network = Network(this, config, batch, frames)
    recipe, budget = network.recipe, machine.budget * GIB
    fitting = (way for way in ways(recipe, network.checkpoints, machine.half) if network.memory(way) <= budget)
    for chosen in fitting:
        try:
            piece, most, told = _seconds(network, chosen, machine)
        except torch.cuda.OutOfMemoryError:  # the forecast was too low: what is tried next needs less
            continue
        if most is None or most <= budget:
            break
    else:
        chosen = Settings(recipe.forward, recipe.checkpointing, recipe.precision)
        most, piece, told = None, math.nan, FORECAST
    flags = None if math.isnan(piece) else chosen.flags(recipe)
    if network.merges:
        piece *= 1 - data.alone / 2  # the empty second bodies of a batch are computed once
    epoch = piece * data.clips * recipe.passes / chosen.forward
    return Row(
        this.folder, config, recipe.batch, recipe.epochs, flags == "", flags, chosen.same_numbers(recipe),
        (network.memory(chosen) if most is None else most) / GIB, FORECAST if most is None else MEASURED,
        epoch, epoch * recipe.epochs / 3600, told, _host(network),
    )  # fmt: skip


def _seconds(network: Network, chosen: Settings, machine: Machine) -> tuple[float, int | None, str]:
    """Of a forward batch; the memory that it was seen to need; where the time is from."""
    if machine.card is not None:
        half, narrow = chosen.precision in HALVES, network.narrow(chosen)
        return network.count(chosen.checkpointing).seconds(machine.card, chosen.forward, half, narrow), None, FORECAST
    if machine.device.type == "cuda":
        seconds, most = steps.measured(network.model, network.samples, chosen, machine.device, steps.TRIES)
        return seconds, most, MEASURED
    seconds, told = steps.on_cpu(network.model, network.samples, chosen, machine.rates)
    return seconds, None, told


def _host(network: Network) -> float:
    """GiB: this process holds what a training process does; each loader keeps two batches ready."""
    import psutil

    one = sum(x.numel() * x.element_size() for x in network.samples(1))
    ready = 2 * max(network.recipe.workers, 1) * network.recipe.batch * one
    return (psutil.Process().memory_info().rss + ready) / GIB


def zero_shot(this: Room, machine: Machine) -> Row:
    """The answer for a zero-shot room: its epoch is a cycle of the published training."""
    import psutil

    answer = program.zero_shot(this, argparse.Namespace(
        batch=None, samples=None, config=None, frames=None, num_class=None, forward_batch_size=None,
        activation_checkpointing=False, precision=None,
    ))  # fmt: skip
    batch = answer.recipe.batch
    model, y = Pair(str(this.variant)), torch.zeros(batch, dtype=torch.long)
    x = torch.randn(batch, FEATURES + TEXTS)
    if machine.card is not None:
        counted = Count(kernels.of_step(model, [x], y, cuda=False), batch, answer.memory)
        seconds, most, told = counted.seconds(machine.card, batch), None, FORECAST
    else:
        way = Settings(batch, False, "32")
        seconds, most = steps.measured(model, lambda _: [x], way, machine.device, steps.TRIES)
        told = MEASURED
    memory = answer.memory.step_bytes(batch) if most is None else most
    fits = memory <= machine.budget * GIB
    return Row(
        this.folder, answer.recipe.config, batch, CYCLES, fits, "" if fits else None, True, memory / GIB,
        FORECAST if most is None else MEASURED, seconds * CYCLE, seconds * CYCLE * CYCLES / 3600, told,
        psutil.Process().memory_info().rss / GIB,
    )  # fmt: skip
