"""What others put around the names of parameters: dictionaries around the weights, words in front of the names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from skeleton_lab.errors import WeightsError

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
AVERAGED = ("ema", "ema_state_dict", "state_dict_ema", "model_ema", "ema_model")  # moving averages of the weights
COUNTER = "n_averaged"  # beside the names of torch.optim.swa_utils.AveragedModel
LOOSE = ("module.", "_orig_mod.")  # of DataParallel and torch.compile: never part of a network
PARTS = ("backbone.", "cls_head.")  # of PYSKL's and MMAction2's recognizers; their files may hold one alone
PREFIXES = (*LOOSE, "model.", "net.", *PARTS)
ALIASES = {"fc_cls.": "fc."}  # PYSKL's and MMAction2's classifier
DEEPEST = 5

T = TypeVar("T")


def opened(content: Any, say: Callable[[str], None]) -> Any:
    """What lies in wrapping dictionaries, one in another; of several the first of the tables, and that is said."""
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            return content
        found = [key for key in (*WRAPPERS, *AVERAGED) if isinstance(content.get(key), Mapping) and content[key]]
        if not found:
            return content
        if len(found) > 1 or found[0] in AVERAGED:
            others = f", not {' or '.join(found[1:])}" if found[1:] else ""
            say(f"The weights under '{found[0]}' are taken{others}.")
        content = content[found[0]]
    return content


def without_counter(weights: Mapping[str, T], say: Callable[[str], None]) -> dict[str, T]:
    """The weights without AveragedModel's counter."""
    if COUNTER not in weights or not any(key.startswith("module.") for key in weights):
        return dict(weights)
    say(f"The weights are averages ({COUNTER} = {int(weights[COUNTER])}).")
    return {key: value for key, value in weights.items() if key != COUNTER}


def renamed(weights: Mapping[str, T], rename: Callable[[str], str], where: str) -> dict[str, T]:
    """The same under other names.

    Raises:
        WeightsError: two entries would get the same name.
    """
    result: dict[str, T] = {}
    origin: dict[str, str] = {}
    for key, value in weights.items():
        name = rename(key)
        if name in origin:
            raise WeightsError(f"{where}: both '{origin[name]}' and '{key}' would be '{name}'; leave one of them out")
        origin[name], result[name] = key, value
    return result


def stripped(key: str, prefixes: Sequence[str] = LOOSE) -> str:
    """``key`` without any of the prefixes in front, repeated ones too."""
    return last(chain(key, prefixes))


def chain(key: str, prefixes: Sequence[str]) -> Iterable[str]:
    """``key``, and what is left of it when one prefix after the other is taken away."""
    while True:
        yield key
        found = next((prefix for prefix in prefixes if key.startswith(prefix) and key != prefix), None)
        if found is None:
            return
        key = key[len(found) :]


def last(names: Iterable[str]) -> str:
    *_, name = names
    return name


def fitted(key: str, own: Collection[str]) -> str:
    """The name of a network's parameter that ``key`` means.

    The first of its chain that there is; that of a bare part with the part's own word in front; else ``stripped``.
    """
    for name in chain(key, PREFIXES):
        if name in own:
            return name
        for foreign, ours in ALIASES.items():
            if name.startswith(foreign) and (alias := ours + name[len(foreign) :]) in own:
                return alias
    bare = stripped(key)
    return next((part + bare for part in PARTS if part + bare in own), bare)
