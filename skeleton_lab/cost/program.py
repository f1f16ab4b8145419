"""What training costs in each room by its own recipe: frames, people, batch and precision of its configuration."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.cost import counting
from skeleton_lab.cost.counting import GIB, Cost, fits, largest_batch
from skeleton_lab.cost.flags import FLOATS, parser
from skeleton_lab.data.feeders.base import MOST
from skeleton_lab.engine.config import options as engine_options
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory.forecast import STATES, Memory, forecast, narrowed
from skeleton_lab.engine.network import construct
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.nn import fuse
from skeleton_lab.registry import ROOMS, Room, find, room
from skeleton_lab.utils import trust
from skeleton_lab.utils.importing import check_arguments, import_class

WHOLE = 300  # frames of a clip of NTU RGB+D or Kinetics as stored
WHOLE_WORDS = " (whole clips as stored)"
MEASURED = 600  # frames that are measured with at once: 8 samples of 64, 2 of 300
FEATURES, TEXTS, LATENT, CLIPS = 256, 3 * 512, 100, 56_578  # of the zero-shot recipes on NTU RGB+D 60: three texts


@dataclass(frozen=True)
class Recipe:
    """How a configuration trains. ``whole``: the clips are taken as stored, ``frames`` is what the data sets have."""

    config: str
    model: str
    frames: int
    whole: bool
    batch: int  # samples of an optimiser step
    forward: int  # samples that are on the GPU at once
    precision: str = "32"
    optimizer: str = "SGD"
    checkpointing: bool = False
    epochs: int = 0
    workers: int = 0  # loader processes
    passes: int = 1  # through the data, in an epoch

    @property
    def states(self) -> int:
        """Values that a parameter takes with its gradient and the optimiser's memory."""
        return STATES if self.optimizer == "SGD" else STATES + 1


@dataclass(frozen=True)
class Answer:
    """A room's recipe, what a sample of it is, and what it costs."""

    room: Room
    recipe: Recipe
    sample: str
    cost: Cost
    memory: Memory  # of a step on a GPU
    checkpointed: Memory | None = None  # with activation checkpointing, where the recipe does not fit without


def configuration(this: Room, config: str | None) -> Path:
    """The YAML file of a room, as named from here or from the room's folder; by default the room's own.

    Raises:
        UsageError: there is none.
    """
    config = config or this.config
    if config is None:
        raise UsageError(f"--config: room {this.folder} names no default configuration; give one")
    path = Path(config) if Path(config).is_file() else this.path / config
    if not path.is_file():
        raise UsageError(f"--config: there is no file {config}, neither here nor in {this.path}")
    return path


def build(arguments: argparse.Namespace) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a room's configuration, fused as for training, and its ``model_args``.

    Args:
        arguments: room, config, frames, num_class, activation_checkpointing as of ``parser``.

    Raises:
        UsageError: the configuration names no network, or one that cannot be asked for this.
    """
    with room(arguments.room) as this, trust.trusting(arguments.trust_code):
        path = configuration(this, arguments.config)
        settings = yaml_file.read(path)
        if not isinstance(settings.get("model"), str):
            raise UsageError(f"--config: {path} names no model")
        model_args = dict(settings.get("model_args") or {})
        if arguments.num_class:
            model_args["num_classes" if "num_classes" in model_args else "num_class"] = arguments.num_class
        network = import_class(settings["model"], "model")
        check_arguments(model_args, f"--config {path}: model_args")
        if "frame_size" in inspect.signature(network).parameters:
            model_args["frame_size"] = arguments.frames
        model = construct(network, settings["model"], model_args)
    if arguments.activation_checkpointing:
        if not hasattr(model, "activation_checkpointing"):
            raise UsageError(f"--activation-checkpointing: {settings['model']} does not know it")
        model.activation_checkpointing = True
    return model, model_args


def read(this: Room, arguments: argparse.Namespace) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a room's configuration with the flags' values in place of its own, and its feeder's arguments."""
    path = configuration(this, arguments.config)
    words = ["--config", str(path.resolve()), "--work-dir", "unused"]
    options = engine_options.parse(this.recipe, words, this.path)
    feeder = options.train_feeder_args
    window = feeder.get("window_size")
    whole = not (isinstance(window, int) and window > 0)
    batch = arguments.batch or options.batch_size
    forward = arguments.forward_batch_size or options.forward_batch_size or batch
    precision = "16-mixed" if options.half else options.precision
    checkpointing = arguments.activation_checkpointing or options.activation_checkpointing
    recipe = Recipe(
        arguments.config or this.config or str(path), str(options.model),
        arguments.frames or (WHOLE if whole else window), whole and not arguments.frames,
        batch, min(forward, batch), arguments.precision or precision, options.optimizer, checkpointing,
        options.num_epoch, options.num_worker, int(feeder.get("times") or feeder.get("repeat") or 1),
    )  # fmt: skip
    return recipe, feeder


def prepared(
    this: Room, arguments: argparse.Namespace
) -> tuple[Recipe, nn.Module, Callable[[int], tuple[Tensor, ...]]]:
    """A room's recipe, its network, and what makes so many random samples for it."""
    recipe, feeder = read(this, arguments)
    wishes = argparse.Namespace(
        room=this.folder, config=arguments.config, num_class=arguments.num_class, frames=recipe.frames,
        activation_checkpointing=recipe.checkpointing, trust_code=arguments.trust_code,
    )  # fmt: skip
    torch.manual_seed(0)
    model, model_args = build(wishes)
    people = {} if {"num_person", "num_people"} & set(model_args) else {"num_person": feeder.get("num_person") or 2}
    model_args = model_args | people
    return recipe, model, lambda count: counting.example(model_args, count, recipe.frames, arguments.single_person)


def supervised(this: Room, arguments: argparse.Namespace) -> Answer:
    """What a room's network costs to train."""
    recipe, model, samples = prepared(this, arguments)
    inputs = samples(arguments.samples or min(recipe.forward, max(2, min(8, MEASURED // recipe.frames))))
    found, memory = measured(model, inputs, recipe.precision), on_gpu(model, inputs, recipe)
    again = None
    if hasattr(model, "activation_checkpointing") and not fits(memory, recipe.forward, arguments.budget):
        model.activation_checkpointing = True
        again = on_gpu(model, inputs, recipe)
    size = dict(zip(getattr(model, "axes", "CTVM"), inputs[0].shape[1:]))
    T, V, M = size["T"], size["V"], size["M"]
    sample = f"{T} frames{WHOLE_WORDS if recipe.whole else ''}, {V} joints, {M} {'person' if M == 1 else 'people'}"
    return Answer(this, recipe, sample, found, memory, again)


def measured(model: nn.Module, inputs: Sequence[Tensor], precision: str) -> Cost:
    """The cost of a step with these samples and the precision of a recipe, counted on the CPU."""
    x, *more = inputs
    y = torch.zeros(len(x), dtype=torch.long)
    if precision == "64":
        found = counting.measure(model, x, y, *more)
        return dataclasses.replace(found, saved_bytes=2 * found.saved_bytes, peak_bytes=2 * found.peak_bytes)
    mixed = precision != "32"  # the CPU has bfloat16 for either kind; values are as wide as float16
    with torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext():
        return counting.measure(model, x, y, *more)


def on_gpu(model: nn.Module, inputs: Sequence[Tensor], recipe: Recipe) -> Memory:
    """What a step of a recipe needs on a GPU, by the code that runs there; as if every body were there."""
    memory = forecast(model, inputs, recipe.forward, recipe.states, "cuda", Criterion(net=model))
    return memory.scaled(narrowed(model, [x[:2] for x in inputs], recipe.precision, torch.device("cpu")))


class Pair(nn.Module):
    """The four networks of a zero-shot room on (B, features + texts): both reconstructions, each from both latents."""

    def __init__(self, variant: str):
        super().__init__()
        from skeleton_lab.zero_shot.model.variants import build as networks

        self.networks = fuse(networks(variant, FEATURES, TEXTS, LATENT))

    def forward(self, x: Tensor) -> Tensor:
        latents = []
        for name, part in zip(("se", "te"), x.split((FEATURES, TEXTS), 1)):
            mu, logvar = self.networks[name](part)
            latents.append(mu + torch.randn(len(x), 1, device=x.device) * (0.5 * logvar).exp())
        both = torch.cat(latents)
        return torch.cat([y for name in ("sd", "td") for y in self.networks[name](both).split(len(x))], 1)


def zero_shot(this: Room, arguments: argparse.Namespace) -> Answer:
    """What aligning features and texts costs; the features of all clips lie on the GPU, as they are and transformed.

    Raises:
        UsageError: flags that mean nothing here.
    """
    from skeleton_lab.zero_shot.align.batches import BATCH

    for name in ("config", "frames", "num_class", "forward_batch_size", "activation_checkpointing", "precision"):
        if getattr(arguments, name):
            raise UsageError(
                f"--{name.replace('_', '-')}: room {this.folder} trains on features of whole clips, without it"
            )
    torch.manual_seed(0)
    batch = arguments.batch or BATCH
    recipe = Recipe("the published scripts", "skeleton_lab.zero_shot", 0, True, batch, batch, optimizer="Adam")
    count = arguments.samples or min(8, batch)
    model, inputs = Pair(this.variant), torch.randn(count, FEATURES + TEXTS)
    found = counting.measure(model, inputs, torch.zeros(count).long())
    memory = dataclasses.replace(on_gpu(model, [inputs], recipe), resident=2 * 4 * FEATURES * CLIPS)
    return Answer(this, recipe, f"a feature of {FEATURES}, 3 texts of {TEXTS // 3}", found, memory)


def answer(name: str, arguments: argparse.Namespace) -> Answer:
    this = find(name)
    if not this.path.is_dir():
        raise UsageError(f"room {this.folder} is not here: there is no folder {this.path}")
    return zero_shot(this, arguments) if this.variant else supervised(this, arguments)


def remedy(found: Answer, budget: float) -> str:
    """What makes a recipe fit that does not."""
    if found.room.variant:
        return "a smaller --batch"
    batch, ways = found.recipe.batch, []
    if found.checkpointed is not None and fits(found.checkpointed, found.recipe.forward, budget):
        ways.append("--activation-checkpointing")
    most = largest_batch(found.memory, budget)
    if pieces := max((n for n in range(1, most + 1) if batch % n == 0), default=0):
        ways.append(f"--forward-batch-size {pieces}")
    return " or ".join(ways or ["shorter clips"])


def detail(found: Answer, budget: float) -> list[str]:
    """The answer for one room."""
    recipe, costs = found.recipe, found.cost
    pieces = f" in pieces of {recipe.forward}" if recipe.forward < recipe.batch else ""
    again = ", activations computed again" if recipe.checkpointing else ""
    kind = FLOATS[recipe.precision]
    need = found.memory.step_bytes(recipe.forward) / GIB
    ok = fits(found.memory, recipe.forward, budget)
    verdict = "fits" if ok else f"does NOT fit: {remedy(found, budget)}"
    return [
        f"{found.room.folder}, {recipe.config}: {recipe.model}",
        f"one sample               {found.sample}",
        f"recipe                   batch {recipe.batch}{pieces}, {kind}, {recipe.optimizer}{again}",
        f"parameters               {costs.parameters:,}",
        f"forward, per sample      {_short(costs.flops_forward / 1e9)} GFLOP",
        f"kept for backward        {_short(costs.saved_bytes / 1e6, 1)} MB per sample",
        f"highest in a step        {_short(costs.peak_bytes / 1e6, 1)} MB per sample",
        f"memory of the recipe     {need:.1f} GiB (forecast for a GPU); a budget of {budget:g} GiB: {verdict}",
        f"largest batch in {budget:g} GiB   {largest_batch(found.memory, budget)} ({kind}, forecast)",
    ]


def _short(value: float, digits: int = 2) -> str:
    """With so many decimals, or two figures of a small value."""
    return f"{value:.{digits}f}" if value >= 10**-digits else f"{value:.2g}"


HEADER = f"{'room':14} {'one sample':38} {'batch':>9} {'forward':>12} {'memory':>9}  fits {{:g}} GiB?"


def row(found: Answer, budget: float) -> str:
    """The answer as a line of the table."""
    recipe, costs = found.recipe, found.cost
    batch = str(recipe.batch) if recipe.forward == recipe.batch else f"{recipe.batch} by {recipe.forward}"
    ok = fits(found.memory, recipe.forward, budget)
    told = f"yes, up to batch {largest_batch(found.memory, budget):,}" if ok else f"no: {remedy(found, budget)}"
    sample = found.sample.replace(WHOLE_WORDS, "")
    forward = f"{_short(costs.flops_forward / 1e9)} GFLOP"
    need = f"{found.memory.step_bytes(recipe.forward) / GIB:.1f} GiB"
    return f"{found.room.folder:14} {sample:38} {batch:>9} {forward:>12} {need:>9}  {told}"


def program(argv: Sequence[str] | None = None) -> None:
    """Raises ``LabError`` for what the user can put right."""
    arguments = parser().parse_args(argv)
    for flag in ("batch", "frames", "budget", "forward_batch_size", "num_class", "samples"):
        value = getattr(arguments, flag)
        if value is not None and not 0 < value <= MOST:
            wanted = "positive" if not value > 0 else f"at most {MOST}"
            raise UsageError(f"--{flag.replace('_', '-')} must be {wanted}, got {value}")
    if not 0 <= arguments.single_person <= 1:
        raise UsageError(f"--single-person is a share from 0 to 1, got {arguments.single_person}")
    if arguments.room != "all":
        print("\n".join(detail(answer(arguments.room, arguments), arguments.budget)))
        return
    if arguments.config:
        raise UsageError("--config: name its --room as well")
    print(HEADER.format(arguments.budget), flush=True)
    for this in (each for each in ROOMS if each.path.is_dir()):
        wishes = argparse.Namespace(**vars(arguments))
        if this.variant:
            wishes.frames = wishes.num_class = wishes.forward_batch_size = wishes.precision = None
            wishes.activation_checkpointing = False
        print(row(answer(this.folder, wishes), arguments.budget), flush=True)
    print("batch '32 by 16': samples of a step, by so many at once. Memory: a forecast, by the operations of a GPU.")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: program(argv))
