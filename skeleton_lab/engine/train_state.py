"""Where a training run stands: everything that ``last.ckpt`` holds besides the network and the optimizer."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from skeleton_lab.errors import UsageError

# What decides the numbers of a run. Where files lie, how much is printed and on what it runs may change.
ESSENTIAL = (
    "model", "model_args", "feeder", "train_feeder_args", "test_feeder_args", "debug", "optimizer", "base_lr", "step",
    "lr_decay_rate", "warm_up_epoch", "cosine_epoch", "lr_scheduler", "min_lr", "warmup_lr", "warmup_prefix",
    "nesterov", "weight_decay", "grad_clip", "grad_max", "loss_type", "batch_size", "precision", "half",
    "amp_opt_level", "start_epoch", "weights", "val_split", "val_share", "classes", "shots", "freeze", "ema",
)  # fmt: skip
BEFORE = {"cosine_epoch": 0}  # what runs had that began before there was the flag
KEPT = ("memory", "activation_checkpointing")  # what --memory was given and chose, beside the batch and precision
PLACES = ("data_path", "label_path", "root", "cache_dir")
# What may change, and is said: it decides the last digits, or when something is measured.
SPOKEN = {
    "forward_batch_size": "batch norm sees other pieces of the batch, so the numbers leave those of the unbroken run",
    "eval_interval": "other epochs are evaluated",
    "eval_start": "other epochs are evaluated",
    "early_stopping": "the run ends elsewhere",
    "compile": "the numbers may differ in the last digits",
    "fused": "the numbers may differ in the last digits",
    "device": "the numbers may differ in the last digits",
    "processes": "the numbers may differ in the last digits",
    "torch": "the numbers may differ in the last digits",
    "train_feeder_args.data_path": "its data is the same",
    "test_feeder_args.data_path": "",
}


@dataclass
class Best:
    """The first epoch with the highest accuracy: 1-based epoch, optimizer steps, results, weights then (CPU)."""

    epoch: int
    step: int
    accuracy: float
    results: dict[str, float]
    weights: OrderedDict[str, Tensor]


def better(accuracy: float, best: Best | None) -> bool:
    return best is None or accuracy > best.accuracy


@dataclass
class Identity:
    """What tells a run from another one when it is resumed.

    Attributes:
        options: what a resumed run must share (``digest``); data: the same of what it learns from; circumstances: what
            may change, and is said.
    """

    options: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    circumstances: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainState:
    """The place in a run: what ``last.ckpt`` holds besides the network, the optimizer and random states.

    Attributes:
        epoch: epochs finished (0-based number of the one in work).
        iteration: batches of that epoch that are done; step: optimizer steps in all.
        forward_batch: clips per forward pass of one process; halved when the GPU's memory is too small.
        losses, accuracies: one value per batch of the epoch in work, on the device.
        best, last: results of the best and of the latest evaluation.
        seconds: spent in earlier processes of this run.
        finished: resuming found a run that is complete.
    """

    epoch: int
    step: int
    forward_batch: int
    losses: Tensor
    accuracies: Tensor
    iteration: int = 0
    best: Best | None = None
    last: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False
    identity: Identity = field(default_factory=Identity)

    def content(self) -> dict[str, Any]:
        """As plain containers and CPU tensors."""
        done = self.iteration
        return {
            "epoch": self.epoch,
            "iteration": done,
            "step": self.step,
            "forward_batch": self.forward_batch,
            "losses": self.losses[:done].cpu().clone(),
            "accuracies": self.accuracies[:done].cpu().clone(),
            "best": None if self.best is None else vars(self.best).copy(),
            "last": dict(self.last),
            "seconds": self.seconds,
        }

    def restore(self, content: Mapping[str, Any], *, own: bool) -> None:
        """Take the place over from ``content()`` of an earlier process.

        Args:
            own: whether this process takes the batches' losses, which count once over all processes.
        """
        done = content["iteration"]
        if own:
            self.losses[:done] = content["losses"].to(self.losses.device)
            self.accuracies[:done] = content["accuracies"].to(self.accuracies.device)
        self.epoch, self.iteration, self.step = content["epoch"], done, content["step"]
        self.best = None if content["best"] is None else Best(**content["best"])
        self.last, self.seconds = dict(content["last"]), content["seconds"]


def stopped_early(state: TrainState, patience: int | None) -> bool:
    """Whether ``--early-stopping`` ends the training: so many epochs lie between the best and the latest evaluated."""
    return patience is not None and state.best is not None and state.last["epoch"] - state.best.epoch >= patience


def new_state(options: Namespace, iterations: int, forward_batch: int, device: torch.device) -> TrainState:
    def empty() -> Tensor:
        return torch.zeros(iterations, device=device)

    return TrainState(options.start_epoch, options.start_epoch * iterations, forward_batch, empty(), empty())


def digest(options: Namespace, train_samples: int) -> dict[str, Any]:
    """The options that a resumed run must share with the one it continues."""
    values = {name: _plain(getattr(options, name, None)) for name in ESSENTIAL}
    return {"program": options.recipe.mark or options.recipe.name, **values, "train_samples": train_samples}


def check_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to resume another run.

    Raises:
        UsageError: names the first option that differs, with both values.
    """
    for name, value in now.items():
        if before.get(name, BEFORE.get(name)) != value:
            raise UsageError(
                f"--resume: {name} was {before.get(name)!r} and is {value!r} now; "
                "give the options of the earlier run (its config.yaml), or leave --resume out for a new one"
            )


def circumstances(options: Namespace, device: str, processes: int) -> dict[str, Any]:
    """The values of ``SPOKEN`` and ``KEPT``."""
    told = {name: getattr(options, name, None) for name in (*SPOKEN, *KEPT)}
    for split in ("train", "test"):
        path = getattr(options, f"{split}_feeder_args").get("data_path")
        told[f"{split}_feeder_args.data_path"] = None if path is None else str(path)
    return {**told, "device": device, "processes": processes, "torch": str(torch.__version__)}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each circumstance that is another than before."""
    return [
        f"--resume: {name} was {before.get(name)} and is {now[name]} now{': ' * bool(why)}{why}"
        for name, why in SPOKEN.items()
        if before.get(name, now[name]) != now[name]  # an earlier version did not know all of them
    ]


def check_same_data(before: Mapping[str, Any], now: Mapping[str, Any], evaluated: bool) -> list[str]:
    """Refuse to train on with other data, and to choose the best epoch on two test sets.

    Args:
        before, now: split -> ``digests.of_data``; evaluated: whether an epoch has been evaluated.

    Returns:
        What has to be said: a test set that nothing was measured on yet may change.

    Raises:
        UsageError: names the split and what differs.
    """
    said = []
    for split in ("train", "test"):
        old, new = before.get(split), now.get(split)
        if old == new:
            continue
        what = _difference(split, old, new)
        if split == "train" or evaluated:
            raise UsageError(f"--resume: {what}; give the data of the earlier run, or leave --resume out for a new one")
        said.append(f"--resume: {what}; nothing had been measured on it yet")
    return said


def _difference(split: str, old: Any, new: Any) -> str:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return f"there was {'' if old else 'no '}{split} data before and there is {'some' if new else 'none'} now"
    name = next((name for name in new if old.get(name) != new[name]), "rows")
    if name in ("samples", "stream"):
        return f"the {split} data had {name} {old.get(name)} and has {new[name]} now"
    what = "its labels differ" if name == "labels" else "its clips have other coordinates"
    return f"the {split} data is not that of the earlier run: {what}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in sorted(value.items()) if key not in PLACES}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
