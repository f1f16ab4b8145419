"""Weights from elsewhere: published checkpoints, other runs, pickles, safetensors."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from skeleton_lab import registry
from skeleton_lab.engine import parameter_names
from skeleton_lab.engine.checkpoint import load_tensors
from skeleton_lab.errors import WeightsError
from skeleton_lab.utils.importing import optional

if TYPE_CHECKING:
    from skeleton_lab.engine.transfer import Transfer

HINT = "; --ignore-weights leaves entries out"  # of programs that have the flag
DROPS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda key, word: word in key,
    "equals": lambda key, word: word == key,
    "starts": lambda key, word: key.startswith(word),
}


def read_weights(path: Path, say: Callable[[str], None] = lambda _: None) -> OrderedDict[str, Tensor]:
    """Name -> tensor; wrapping dictionaries are opened, and what wrappers put in front of names is taken away.

    Args:
        say: takes a line where the file holds more than one set of weights.

    Raises:
        WeightsError: not readable, or not a mapping of names to arrays.
        UsageError: a .safetensors file, and that package is not installed.
    """
    if not path.is_file():
        raise WeightsError(f"--weights: there is no file {path}; give --weights the path of one")
    content = parameter_names.opened(_read(path), say)
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds no mapping of parameter names to tensors")
    weights: dict[str, Tensor] = {}
    for key, value in content.items():
        try:
            if isinstance(value, (list, tuple)):  # nested, it could be endless
                raise TypeError
            weights[str(key)] = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            raise WeightsError(f"{path}: entry '{key}' is {type(value).__name__}, not a tensor") from None
    return OrderedDict(
        parameter_names.renamed(parameter_names.without_counter(weights, say), parameter_names.stripped, str(path))
    )


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        reader = optional("safetensors.torch", "safetensors", "weights", str(path))
        try:
            return reader.load_file(path)
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
        except Exception as error:  # its own class of errors, and whatever damaged headers lead to
            raise WeightsError(f"{path}: truncated or no safetensors file; get it again") from error
    if ".pkl" in path.name:
        from skeleton_lab.data.archives.readers import safe_pickle

        return safe_pickle.load(path)
    return load_tensors(path)


def load_weights(
    net: nn.Module,
    path: Path,
    *,
    ignore: Sequence[str] = (),
    rule: str = "contains",
    strict: bool = False,
    complete: bool = False,
    transfer: Transfer | None = None,
    hint: str = "",
    say: Callable[[str], None] = print,
) -> int:
    """Load ``path`` into ``net`` and return the step that its name tells (0 if none).

    Args:
        ignore: words of --ignore-weights; ``rule`` says which keys a word drops (see ``DROPS``).
        strict: missing keys are an error too (phase test), except those that a word drops.
        complete: with ``strict``: nothing may be missing, and words drop only what does not fit. For words of a
            configuration, which were meant for the start of its training.
        transfer: at the start of a training: what belongs to other classes or another skeleton begins anew.
        hint: what an error about entries adds.
        say: takes the lines of the log.

    Raises:
        WeightsError: unreadable file, weights of another room, unexpected keys, wrong shapes (told by
            ``net.misfit(weights)``, where there is one and it knows better), and with ``strict`` missing keys.
    """
    own = net.state_dict()
    weights = named_for(own, read_weights(path, say), path)
    _drop(weights, own, ignore, rule, complete, say)
    anew, line = transfer.choose(own, weights, path) if transfer is not None else (set(), "")
    if line:
        say(line)
        weights = {key: value for key, value in weights.items() if key not in anew}
    unexpected = [key for key in weights if key not in own]
    shapes = [key for key, value in weights.items() if key in own and own[key].shape != value.shape]
    # files from before torch 0.4.1 do not count batches; as in torch itself they are complete without
    missing = [key for key in own if not (key in weights or key in anew or key.endswith("num_batches_tracked"))]
    excused = [key for key in missing if not complete and any(DROPS[rule](key, word) for word in ignore)]
    lacking = [key for key in missing if strict and key not in excused]
    reason = net.misfit(weights) if shapes and hasattr(net, "misfit") else None
    if unexpected or shapes or lacking:
        reason = _of_another_room(weights, own, net) or reason
    if reason:
        raise WeightsError(f"{path}: {reason}")
    told = [f"{key} {tuple(weights[key].shape)} instead of {tuple(own[key].shape)}" for key in shapes]
    kinds = (("not in the model", unexpected), ("wrong shape", told), ("missing in the file", lacking))
    faults = [f"{what}: {_some(keys)}" for what, keys in kinds if keys]
    if faults:
        raise WeightsError(f"{path} does not fit the model: {'; '.join(faults)}{hint}")
    if missing:
        say("Can not find these weights:")
        for key in missing:
            say(f"  {key}")
        if strict:
            say(f"They stay random, as --ignore-weights asks, and so do the results: {_some(missing)}.")
    net.load_state_dict({**own, **weights})
    return step_of(path)


def named_for(own: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights under a network's own names, without what others put in front of them (``names.PREFIXES``)."""
    return parameter_names.renamed(weights, lambda key: parameter_names.fitted(key, own), str(path))


def _drop(
    weights: dict[str, Tensor], own: Mapping[str, Tensor], ignore: Sequence[str], rule: str, misfits: bool,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Take away what the words name; with ``misfits`` only what does not fit."""
    for word in ignore:
        dropped = [key for key in weights if DROPS[rule](key, word)]
        if misfits:
            dropped = [key for key in dropped if key not in own or own[key].shape != weights[key].shape]
        for key in dropped:
            del weights[key]
            say(f"Successfully removed weights: {key}.")
        if not dropped and not misfits:
            say(f"Can not remove weights: {word}.")


def _of_another_room(weights: Mapping[str, Any], own: Mapping[str, Any], net: nn.Module) -> str | None:
    """Whose weights these are, where their names tell it and they are not this network's."""
    theirs, ours = registry.owner(weights), registry.owner(own)
    if theirs is None or theirs == ours:
        return None
    return f"these weights belong to {theirs}, this is {ours or f'{type(net).__module__}.{type(net).__name__}'}"


def epoch_of(path: Path) -> int:
    """The epoch by the file name: 65 of ``runs-65-40690.pt``, ``epoch_65_40690.pt``, ``epoch65_model.pt``, else 0."""
    match = re.fullmatch(r"(?:runs|weights)-(\d+)-\d+|epoch_(\d+)_\d+|epoch(\d+)_model", path.stem)
    return int(match[1] or match[2] or match[3]) if match else 0


def step_of(path: Path) -> int:
    """Optimizer steps by the file name: the last number of ``runs-65-40690.pt`` and ``epoch_65_40690.pt``, else 0."""
    match = re.fullmatch(r".*-(\d+)|epoch_\d+_(\d+)", path.stem)
    return int(match[1] or match[2]) if match else 0


def _some(items: Sequence[str], most: int = 3) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
