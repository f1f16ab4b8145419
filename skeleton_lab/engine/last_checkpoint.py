"""``last.ckpt``, everything that ``--resume`` needs: written with a digest, and looked through before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.engine.checkpoint import load_tensors, save_tensors
from skeleton_lab.engine.digests import of_content
from skeleton_lab.engine.work_dir import LAST
from skeleton_lab.errors import WeightsError

FORMAT = 1
MEMORY = "memory"  # only of networks that have one
AVERAGE = "average"  # only of runs with --ema
OTHERWISE = "take an earlier copy of the folder, or start again without --resume"

_Test = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _of(*kinds: type) -> _Test:
    return lambda value: isinstance(value, kinds)


def _values(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 1 and value.is_floating_point()


def _tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()
    )


def _results(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(k, str) and isinstance(v, (int, float)) for k, v in value.items()
    )


FORM: dict[str, _Test] = {
    "format": _whole, "options": _of(Mapping), "num_epoch": _whole, "seed": _whole, "finished": _of(bool),
    "model": _tensors, "optimizer": _of(Mapping), "precision": _of(Mapping), "state": _of(Mapping), "random": _of(list),
}  # fmt: skip
SINCE_DIGESTS: dict[str, _Test] = {"data": _of(Mapping), "circumstances": _of(Mapping), "digest": _of(str)}
STATE: dict[str, _Test] = {
    "epoch": _whole, "iteration": _whole, "step": _whole, "forward_batch": lambda v: _whole(v) and v > 0,
    "losses": _values, "accuracies": _values, "best": _of(Mapping, type(None)), "last": _results, "seconds": _number,
}  # fmt: skip
BEST: dict[str, _Test] = {
    "epoch": _whole, "step": _whole, "accuracy": _number, "results": _results, "weights": _tensors,
}  # fmt: skip
AVERAGED: dict[str, _Test] = {
    "updates": _whole, "weights": _tensors, "best": _of(Mapping, type(None)), "last": _results,
}  # fmt: skip
RANDOM: dict[str, _Test] = {
    "torch": _of(Tensor), "cuda": _of(Tensor, type(None)), "numpy": _of(list), "python": _of(list),
}  # fmt: skip


def beyond(net: nn.Module) -> dict[str, Any]:
    """What of a network's state its weights lack: the buffers that it names in ``remembers``, which training moves."""
    names = getattr(net, "remembers", ())
    return {MEMORY: {name: net.get_buffer(name).detach().to("cpu", copy=True) for name in names}} if names else {}


def restore_beyond(net: nn.Module, content: Mapping[str, Any]) -> None:
    """The way back; a file without them, of an earlier version, leaves them as they are."""
    with torch.no_grad():
        for name, value in content.get(MEMORY, {}).items():
            net.get_buffer(name).copy_(value)


def save_last(work_dir: Path, content: dict[str, Any]) -> None:
    content = {"format": FORMAT, **content}
    save_tensors(work_dir / LAST, {**content, "digest": of_content(content)})


def load_last(work_dir: Path) -> dict[str, Any]:
    """The content of ``work_dir/last.ckpt``; a file from before there were digests lacks ``SINCE_DIGESTS``.

    Raises:
        WeightsError: it cannot be read, is damaged or of another format.
    """
    path = work_dir / LAST
    content = load_tensors(path)
    if not isinstance(content, dict) or not _whole(content.get("format")) or content["format"] != FORMAT:
        raise WeightsError(f"{path}: is not a checkpoint of this program (format {FORMAT}); {OTHERWISE}")
    newer = any(name in content for name in SINCE_DIGESTS)
    form = {**FORM, **SINCE_DIGESTS} if newer else FORM
    extras = {MEMORY: _tensors, AVERAGE: _of(Mapping)}
    check_form(path, content, {**form, **{name: holds for name, holds in extras.items() if name in content}})
    try:
        digest = of_content({name: value for name, value in content.items() if name != "digest"})
    except ValueError as error:
        raise damaged(path, f"it holds {error}") from error
    if newer and content["digest"] != digest:
        raise damaged(path, "its content does not have the digest that it was written with")
    state = content["state"]
    check_form(path, state, STATE, "state.")
    if not len(state["losses"]) == len(state["accuracies"]) == state["iteration"]:
        raise damaged(path, "state.losses are not those of state.iteration batches")
    if AVERAGE in content:
        check_form(path, content[AVERAGE], AVERAGED, f"{AVERAGE}.")
    for place, best in (("state", state["best"]), (AVERAGE, content.get(AVERAGE, {}).get("best"))):
        if best is not None:
            check_form(path, best, BEST, f"{place}.best.")
    if not content["random"]:
        raise damaged(path, "random holds no state")
    for each in content["random"]:
        check_form(path, each, RANDOM, "random.")
    return content


def damaged(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path}: is damaged: {what}; {OTHERWISE}")


def check_form(path: Path, content: Any, form: Mapping[str, _Test], prefix: str = "") -> None:
    """Complain about a key that is missing, one too many, or a value of the wrong kind."""
    if not isinstance(content, Mapping):
        raise damaged(path, f"{prefix.rstrip('.')} is no mapping")
    for name, holds in form.items():
        if name not in content:
            raise damaged(path, f"'{prefix}{name}' is missing")
        if not holds(content[name]):
            raise damaged(path, f"'{prefix}{name}' is not what it should be")
    for name in content:
        if name not in form:
            raise damaged(path, f"it holds {str(prefix) + str(name)[:60]!r}, which nobody wrote")


# ------------------------------------------------------------------------------------- against the run at hand


def check_fits(
    path: Path, content: Mapping[str, Any], net: nn.Module, optimizer: torch.optim.Optimizer, iterations: int
) -> None:
    """Complain about a state that is not one of this network, this optimizer and epochs of ``iterations`` batches."""
    state, own = content["state"], net.state_dict()
    if state["iteration"] > iterations:
        raise damaged(path, f"state.iteration is {state['iteration']}, an epoch has {iterations} batches")
    memory, remembered = content.get(MEMORY, {}), beyond(net).get(MEMORY, {})
    if memory and not (memory.keys() == remembered.keys() and all(map(_alike, memory.values(), remembered.values()))):
        raise damaged(path, f"{MEMORY} is not that of this network")
    average = content.get(AVERAGE) or {}
    held = {
        "model": content["model"],
        "state.best.weights": (state["best"] or {}).get("weights"),
        f"{AVERAGE}.weights": average.get("weights"),
        f"{AVERAGE}.best.weights": (average.get("best") or {}).get("weights"),
    }
    for what, weights in held.items():
        if weights is None:
            continue
        wrong = [name for name in {**own, **weights} if not _alike(own.get(name), weights.get(name))]
        if wrong:
            raise WeightsError(
                f"{path} does not fit the model: '{wrong[0][:80]}' of {what} "
                f"{'is not in it' if wrong[0] not in own else 'is missing or of another shape'}; {OTHERWISE}"
            )
    fault = optimizer_fault(content["optimizer"], optimizer)
    if fault:
        raise damaged(path, fault)


def _alike(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype


def optimizer_fault(saved: Any, optimizer: torch.optim.Optimizer) -> str | None:
    """What ``load_state_dict`` would take and the next step would stumble over."""
    own = optimizer.state_dict()
    if not isinstance(saved, Mapping):
        return "optimizer is no mapping"
    groups, states = saved.get("param_groups"), saved.get("state")
    if not isinstance(groups, list) or len(groups) != len(own["param_groups"]) or not isinstance(states, Mapping):
        return "optimizer has not the groups of this one"
    for group, mine in zip(groups, own["param_groups"]):
        numbers = group.get("params") if isinstance(group, Mapping) else None
        if not isinstance(numbers, list) or not all(map(_whole, numbers)) or numbers != mine["params"]:
            return "optimizer.param_groups are not those of this network"
        for name, value in mine.items():
            if name in ("params", "initial_lr"):
                continue
            if name in group and not _same_kind(group[name], value):
                return f"optimizer.param_groups: '{name}' is not what it should be"
            if name not in group and isinstance(value, (float, tuple)):
                return f"optimizer.param_groups: '{name}' is missing"
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    needed = {"momentum_buffer"} if isinstance(optimizer, torch.optim.SGD) else {"step", "exp_avg", "exp_avg_sq"}
    for number, values in states.items():
        if not _whole(number) or number >= len(parameters) or not isinstance(values, Mapping):
            return "optimizer.state is not that of this network"
        if not needed <= set(values):
            return f"optimizer.state lacks '{min(needed - set(values))}'"
        for name, value in values.items():
            shape = torch.Size() if name == "step" else parameters[number].shape
            if name in needed and value is not None and not (isinstance(value, Tensor) and value.shape == shape):
                return f"optimizer.state: '{name}' has not the shape of its parameter"
    return None


def _same_kind(a: Any, b: Any) -> bool:
    if isinstance(b, (list, tuple)):
        return isinstance(a, (list, tuple)) and len(a) == len(b) and all(map(_same_kind, a, b))
    if isinstance(b, bool) or b is None:
        return isinstance(a, bool) or a is None
    return _number(a) if isinstance(b, (int, float)) else isinstance(a, type(b))
