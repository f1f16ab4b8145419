"""``--memory``: before the first step, the settings by which a run fits, in the order of ``settings.ways``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from skeleton_lab.engine.checkpoint import random_states, restore_random_states
from skeleton_lab.engine.config.devices import precision_of
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.dataloader import underlying, unpack
from skeleton_lab.engine.distributed import set_precision
from skeleton_lab.engine.evaluate import SEVERAL
from skeleton_lab.engine.memory import budget
from skeleton_lab.engine.memory.forecast import GIB, Memory, forecast, narrowed
from skeleton_lab.engine.memory.settings import HALVES, Settings, ways
from skeleton_lab.engine.runtime import Learner, Loaders, Runtime
from skeleton_lab.errors import UsageError, one_line

FLAGS = {"forward": "forward_batch_size", "checkpointing": "activation_checkpointing", "precision": "precision"}
FAULTS = (RuntimeError, TypeError, ValueError, AttributeError)  # of a network that looks at values, or at the device
SMALLER = "shorter clips (--train-window-size) take less"


@dataclass(frozen=True)
class Choice:
    """``need``: bytes of ``settings``, whether they fit or are the least; ``published``: of the run as it was asked."""

    settings: Settings
    need: float
    published: float
    fits: bool


def choose(tried: Iterable[Settings], need: Callable[[Settings], float], spend: float) -> Choice:
    """The first settings of ``tried`` that need at most ``spend`` bytes, else those that need the least."""
    least: tuple[float, Settings] | None = None
    published = None
    for settings in tried:
        needed = need(settings)
        published = needed if published is None else published
        if needed <= spend:
            return Choice(settings, needed, published, True)
        if least is None or needed < least[0]:
            least = needed, settings
    return Choice(least[1], least[0], published, False)


def settle(
    options: Options, runtime: Runtime, learner: Learner, loaders: Loaders, earlier: Mapping[str, Any] | None
) -> None:
    """Give the run its settings: ``options``, the network, the arithmetic; a line says which. All processes agree.

    A run that goes on keeps those that it began with, unless another amount of memory is asked for; its arithmetic
    stays in any case. Evaluations take their batches in pieces that fit, which changes no number.

    Raises:
        UsageError: an amount was named and nothing fits in it.
    """
    if options.memory is None:
        return
    states = random_states(torch.device("cpu"))
    spend = min(runtime.team.gather(budget.to_spend(runtime.device, options.memory)))
    try:
        if options.phase == "train":
            _training(options, runtime, learner, Counts(options, runtime, learner, loaders.train), spend, earlier)
        if loaders.test is not None:
            _evaluation(options, runtime, Counts(options, runtime, learner, loaders.test), spend)
    finally:
        restore_random_states(states, torch.device("cpu"))


class Counts:
    """Forecasts for a run's network and clips like a loader's first, each made once."""

    def __init__(self, options: Options, runtime: Runtime, learner: Learner, loader: DataLoader) -> None:
        self.options, self.device, self.world = options, runtime.device, runtime.team.world
        self.net, self.loss = learner.net, learner.criterion
        self.states = (3 if options.optimizer == "SGD" else 4) + (options.ema is not None)
        self.around = budget.around(self.device)
        inputs, _ = unpack(loader.collate_fn([underlying(loader)[0]]), options.recipe.index_t)
        inputs = [x.flatten(0, 1) if x.dim() == SEVERAL else x for x in inputs]
        self.samples: list[Tensor] = [x[:1] for x in inputs]
        self.step, self.narrow = functools.cache(self._step), functools.cache(self._narrow)

    @functools.cached_property
    def whole(self) -> int:
        """Clips of a forward pass of one process as published."""
        return self.share(self.options.forward_batch_size or self.options.batch_size)

    def share(self, clips: int) -> int:
        return -(-clips // self.world)

    def _step(self, checkpointing: bool, alone: bool) -> Memory:
        """Of ``whole`` clips and fewer, or of ``whole`` alone."""
        before = getattr(self.net, "activation_checkpointing", None)
        if before is not None:
            self.net.activation_checkpointing = checkpointing
        try:
            return forecast(
                self.net, self.samples, self.whole, self.states, self.device.type, self.loss, alone=alone
            )  # fmt: skip
        finally:
            if before is not None:
                self.net.activation_checkpointing = before

    def _narrow(self, precision: str) -> float:
        few = [x.expand(2, *x.shape[1:]) for x in self.samples]
        return narrowed(self.net, few, precision, self.device)

    def training(self, settings: Settings) -> float:
        """Bytes of a process."""
        clips = self.share(settings.forward)
        memory = self.step(settings.checkpointing, clips == self.whole).scaled(self.narrow(settings.precision))
        return memory.step_bytes(clips, self.around)

    def testing(self) -> Memory:
        size = self.share(self.options.test_batch_size)
        wide = 2.0 if self.options.precision == "64" else 1.0
        return forecast(self.net, self.samples, size, self.states, self.device.type, None).scaled(wide)


def asked_for(options: Options) -> Settings:
    """The settings of a run without ``--memory``."""
    precision = "16-mixed" if options.half else options.precision
    forward = options.forward_batch_size or options.batch_size
    return Settings(forward, options.activation_checkpointing, precision)


def _training(
    options: Options, runtime: Runtime, learner: Learner, counts: Counts, spend: float, earlier: Mapping | None
) -> None:
    now, before = asked_for(options), (earlier or {}).get("circumstances", {})
    fixed = {name for name, flag in FLAGS.items() if flag in options.typed}
    published = now
    if options.half or earlier is not None:  # a run keeps its arithmetic to its end
        if "precision" not in fixed and before.get("memory") is not None:
            published = replace(now, precision=earlier["options"]["precision"])
        fixed.add("precision")
    if before.get("memory") == options.memory:
        kept = {name: before[flag] for name, flag in FLAGS.items() if flag in before and name not in fixed}
        chosen = Settings(**{**vars(published), **kept})
        told = f"the settings of the earlier run{_added(chosen, published)}; another amount would choose anew"
    else:
        found = runtime.team.agree(_found(options, counts, published, fixed, spend) if runtime.team.first else None)
        if isinstance(found, str):
            runtime.log(found)
            return
        chosen, told = found.settings, _told(found, published, spend)
        if not found.fits and options.memory != "auto":
            raise UsageError(f"{_amount(options)}: {told}")
    runtime.log(f"{_amount(options)}: {told}")
    _apply(chosen, now, options, runtime, learner)


def _found(options: Options, counts: Counts, published: Settings, fixed: set[str], spend: float) -> Choice | str:
    """The choice, or why there is none."""
    half = budget.half(counts.device)
    checkpoints = options.fused and hasattr(counts.net, "activation_checkpointing")
    try:
        return choose(ways(published, checkpoints, half, fixed), counts.training, spend)
    except FAULTS as error:
        return f"--memory: no forecast for {options.model}, which stays as it is ({one_line(error)[:150]})"


def _gib(size: float) -> str:
    return f"{size / GIB:.3g} GiB"


def _amount(options: Options) -> str:
    return f"--memory {options.memory}" if options.memory == "auto" else f"--memory {options.memory:g}"


def _added(chosen: Settings, published: Settings) -> str:
    return f": {flags}" if (flags := chosen.flags(published)) else ", nothing added"


def _told(found: Choice, published: Settings, spend: float) -> str:
    """What was chosen, the forecast and the budget."""
    sizes = f"forecast {_gib(found.need)}, to spend {_gib(spend)}"
    flags = found.settings.flags(published)
    if not found.fits:
        least = f"the least, with {flags}," if flags else "the run as it was asked for"
        return f"does not fit: {least} needs {_gib(found.need)} of {_gib(spend)}; {SMALLER}"
    if not flags:
        return f"nothing added: {sizes}"
    return f"{flags} added: {sizes} (without {_gib(found.published)})"


def _apply(chosen: Settings, now: Settings, options: Options, runtime: Runtime, learner: Learner) -> None:
    """``chosen`` in place of the settings ``now``."""
    if chosen.forward != now.forward:
        options.forward_batch_size = chosen.forward
    if chosen.checkpointing != now.checkpointing:
        options.activation_checkpointing = learner.net.activation_checkpointing = chosen.checkpointing
    if chosen.precision != now.precision and chosen.precision in HALVES:
        options.precision = chosen.precision
        set_precision(runtime.fabric, runtime.device.type, precision_of(options, runtime.device.type)[0])


def _evaluation(options: Options, runtime: Runtime, counts: Counts, spend: float) -> None:
    """``runtime.piece``: as many clips at a time as fit."""
    size = counts.share(options.test_batch_size)

    def fitting() -> tuple[int, float] | None:
        try:
            memory = counts.testing()
        except FAULTS:
            return None  # training has told why; a forward pass that needs too much is halved when it comes to it
        piece = size
        while piece > 1 and memory.step_bytes(piece, counts.around) > spend:
            piece = (piece + 1) // 2
        return piece, memory.step_bytes(piece, counts.around)

    found = runtime.team.agree(fitting() if runtime.team.first else None)
    if found is None:
        return
    piece, need = found
    runtime.piece = piece if piece < size else None
    if runtime.piece or options.phase == "test":
        sizes = f"forecast {_gib(need)}, to spend {_gib(spend)}"
        if need > spend:
            told = f"does not fit even in the smallest pieces: {sizes}"
            if options.phase == "test" and options.memory != "auto":
                raise UsageError(f"{_amount(options)}: {told}")
        else:
            clips = f"{piece * runtime.team.world} clips at a time"
            told = f"evaluation takes {clips}, which changes no number: {sizes}"
        runtime.log(f"{_amount(options)}: {told}")
