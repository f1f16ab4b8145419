"""Values of flags: from text or YAML to the flag's type, with its limits.  Errors name the place and the value."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from skeleton_lab.engine.config import class_list, dict_syntax
from skeleton_lab.engine.config.flags import Flag
from skeleton_lab.errors import UsageError, nearest

MOST_GIB = 100_000
_WORDS = {
    **dict.fromkeys(("yes", "true", "t", "y", "1"), True),
    **dict.fromkeys(("no", "false", "f", "n", "0"), False),
}


def shown(value: Any) -> str:
    """The value as an error message quotes it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def boolean(value: Any) -> bool:
    """``yes true t y 1`` or ``no false f n 0``, any case; anything else is a ValueError."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, str)) and (word := str(value).strip().lower()) in _WORDS:
        return _WORDS[word]
    raise ValueError("not one of yes, no, true, false, 1, 0")


def _integer(value: Any) -> int:
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def device_item(value: Any) -> int | str:
    """One item of ``--device``: a GPU index, or ``cpu``, ``cuda``, ``cuda:N``; -1 is the CPU."""
    if isinstance(value, str):
        word = value.strip().lower()
        head, colon, index = word.partition(":")
        if word in ("cpu", "cuda") or (head == "cuda" and colon and index.isdecimal()):
            return word
    index = _integer(value)
    if index < -1:
        raise ValueError
    return index


def _amount(value: Any) -> float | str:
    """GiB of memory, or ``auto``."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    if not 0 < (amount := _number(value)) <= MOST_GIB:
        raise ValueError
    return amount


_SCALARS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "int": (_integer, "a whole number"),
    "float": (_number, "a finite number"),
    "bool": (boolean, "yes or no (also true, t, y, 1, false, f, n, 0)"),
    "str": (_text, "a text"),
    "memory": (_amount, f"auto, or GiB above 0 and at most {MOST_GIB:,}"),
    "device": (device_item, "cpu, cuda, cuda:N, a GPU index, or -1 for the CPU (several: --device 0 1)"),
}
_ITEMS = {"ints": "int", "floats": "float", "strs": "str"}


def _limits(flag: Flag, value: Any, place: str) -> None:
    if flag.choices and value not in flag.choices:
        folded = {choice.lower(): choice for choice in flag.choices}
        guess = folded.get(value.lower())
        hint = f" Did you mean '{guess}'?" if guess else nearest(value, flag.choices)
        raise UsageError(f"{place}: {shown(value)} is not known; choose from {', '.join(flag.choices)}.{hint}")
    bounds = (
        (flag.at_least, lambda v, b: v >= b, "at least"),
        (flag.at_most, lambda v, b: v <= b, "at most"),
        (flag.above, lambda v, b: v > b, "greater than"),
        (flag.below, lambda v, b: v < b, "less than"),
    )
    for bound, holds, words in bounds:
        if bound is not None and not holds(value, bound):
            raise UsageError(f"{place}: {shown(value)} must be {words} {bound}")


def _scalar(flag: Flag, kind: str, value: Any, place: str) -> Any:
    convert, wanted = _SCALARS[kind]
    if flag.choices and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # precision: 32 in a YAML file
    try:
        result = convert(value)
    except (ValueError, OverflowError):
        raise UsageError(f"{place}: {shown(value)} is not {wanted}") from None
    _limits(flag, result, place)
    return result


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, str):
        return dict_syntax.parse(value, place)
    if not isinstance(value, dict):
        raise UsageError(f"{place}: {shown(value)} is not a mapping of names to values")
    for key in value:
        if not (isinstance(key, str) and key.isidentifier()):
            raise UsageError(f"{place}: key {shown(key)} is not a name")
    return copy.deepcopy(value)


def _classes(value: Any, place: str) -> str:
    """Numbers, ranges and names of splits as one text; all of them are known."""
    items = value if isinstance(value, (list, tuple)) else [value]
    text = ",".join(str(item) for item in items)
    class_list.parse(text, place)
    return text


def convert(flag: Flag, value: Any, place: str) -> Any:
    """The value of a flag in its type.

    Args:
        value: text of the command line, a list of such texts, or what a YAML file holds (strings in it are
            converted, since YAML 1.1 reads ``1e-3`` as a string).
        place: how errors name the origin, e.g. ``--base-lr`` or ``x.yaml: base_lr``.

    Raises:
        UsageError: not of the flag's type, or outside its limits or choices.
    """
    if flag.kind == "dict":
        return {} if value is None else _mapping(value, place)
    if flag.kind == "classes":
        return None if value is None else _classes(value, place)
    if flag.kind in _ITEMS:
        items = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
        return [_scalar(flag, _ITEMS[flag.kind], item, place) for item in items]
    if flag.kind == "device" and isinstance(value, (list, tuple)):
        if not value:
            raise UsageError(f"{place}: names no device")
        return [_scalar(flag, "device", item, place) for item in value]
    if value is None:
        if flag.default is None or flag.nullable:
            return None
        raise UsageError(f"{place}: a value is missing")
    return _scalar(flag, flag.kind, value, place)
