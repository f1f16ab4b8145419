"""Weights from elsewhere: published checkpoints, other runs, pickles."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.engine.checkpoints import load_tensors
from skeleton_lab.errors import WeightsError

WRAPPERS = ("state_dict", "model", "weights")
DROPS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda key, word: word in key,
    "equals": lambda key, word: word == key,
    "starts": lambda key, word: key.startswith(word),
}


def read_weights(path: Path) -> OrderedDict[str, Tensor]:
    """Name -> tensor, without the ``module.`` that wrappers leave in names; a wrapping dict is opened.

    Raises:
        WeightsError: not readable, or not a mapping of names to arrays.
    """
    if not path.is_file():
        raise WeightsError(f"--weights: there is no file {path}; give --weights the path of one")
    content = _read_pickle(path) if ".pkl" in path.name else load_tensors(path)
    if isinstance(content, Mapping):
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds no mapping of parameter names to tensors")
    weights: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in content.items():
        try:
            if isinstance(value, (list, tuple)):  # nested, it could be endless
                raise TypeError
            weights[str(key).split("module.")[-1]] = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            raise WeightsError(f"{path}: entry '{key}' is {type(value).__name__}, not a tensor") from None
    return weights


def _read_pickle(path: Path) -> Any:
    from skeleton_lab.data import pickles

    return pickles.load(path)


def load_weights(
    net: nn.Module,
    path: Path,
    *,
    ignore: Sequence[str] = (),
    rule: str = "contains",
    strict: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """Load ``path`` into ``net`` and return the step that its name tells (0 if none).

    Args:
        ignore: words of --ignore-weights; ``rule`` says which keys a word drops (see ``DROPS``).
        strict: missing keys are an error too (phase test), unless ``ignore`` dropped them.
        say: takes the lines of the log.

    Raises:
        WeightsError: unreadable file, unexpected keys, wrong shapes (told by ``net.misfit(weights)``, where there is
            one and it knows better), and with ``strict`` missing keys.
    """
    weights = read_weights(path)
    for word in ignore:
        dropped = [key for key in weights if DROPS[rule](key, word)]
        for key in dropped:
            del weights[key]
            say(f"Successfully removed weights: {key}.")
        if not dropped:
            say(f"Can not remove weights: {word}.")
    own = net.state_dict()
    unexpected = [key for key in weights if key not in own]
    shapes = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in weights.items()
        if key in own and own[key].shape != value.shape
    ]
    reason = net.misfit(weights) if shapes and hasattr(net, "misfit") else None
    if reason:
        raise WeightsError(f"{path}: {reason}")
    # files from before torch 0.4.1 do not count batches; as in torch itself they are complete without
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    faults = [
        f"{what}: {_some(keys)}"
        for what, keys in (
            ("not in the model", unexpected),
            ("wrong shape", shapes),
            ("missing in the file", missing if strict and not ignore else []),
        )
        if keys
    ]
    if faults:
        raise WeightsError(f"{path} does not fit the model: {'; '.join(faults)}; --ignore-weights leaves entries out")
    if missing:
        say("Can not find these weights:")
        for key in missing:
            say(f"  {key}")
    net.load_state_dict({**own, **weights})
    return step_of(path)


def step_of(path: Path) -> int:
    """Optimizer steps by the file name: the last number of ``runs-65-40690.pt``, else 0."""
    match = re.fullmatch(r".*-(\d+)", path.stem)
    return int(match[1]) if match else 0


def _some(items: Sequence[str], most: int = 3) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
