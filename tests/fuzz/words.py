"""Values that nobody should write into a configuration, a command line or a checkpoint, and where to put them."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import yaml

NUMBERS = (0, 1, -1, 3, 17, 60, 300, 10**9, 2**31, 2**63, 10**30, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"))
TEXTS = (
    "", " ", "x", "-", "--", "true", "None", "nan", "1e999", "1_0", "0x10", "9" * 5000, "a" * 300, "a/" * 3000,
    "é" * 300, "\x1b[31mred\x1b[0m", "a\nb", "a\rb", "\x00", "\ud800", "\u202eabc", "%s%n{}", "~", "../../up",
    "/dev/null", "/", ".", "model.ctrgcn.Model", "os.system", "subprocess.Popen", "builtins.exec", "model", "model.",
    ".model", "a..b", "graph.ntu_rgb_d.Graph", "feeders.feeder_ntu.Feeder", "skeleton_lab.errors.LabError",
    "torch.nn.Linear",
    "skeleton_lab.nn.backbone", "model.no.Such", "cuda:99", "cpu", "window_size=64", "a=[1,2", "{",
    "a=__import__('os')",
    "a=" + "[" * 2000, "a=1,a=2", "a.b.c=1", "=1", "0-9,12", "9-0", "ntu60_55_5:seen", "1:99", "${HOME}", "`id`",
)  # fmt: skip
TREES = ([], {}, [[]], [None], {"a": {}}, [1] * 100, [[1, 2], [3]], {"": ""}, None, True, False)


def value(draw: Random) -> Any:
    """One of them."""
    return copy.deepcopy(draw.choice(draw.choice((NUMBERS, TEXTS, TREES))))


def worse(whole: Any, draw: Random, most: int = 3, more: Sequence[Any] = ()) -> Any:
    """``whole`` (nested dicts and lists, changed in place) after entries were lost, replaced, renamed or swapped.

    Args:
        more: further values to put in.
    """
    for _ in range(draw.randint(1, most)):
        place, parent, key = whole, None, None
        for _ in range(draw.randint(1, 4)):
            keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else ()
            if not keys:
                break
            parent, key = place, draw.choice(keys)
            place = place[key]
        if parent is None:
            return value(draw)
        _change(parent, key, draw, more)
    return whole


def _change(parent: Any, key: Any, draw: Random, more: Sequence[Any]) -> None:
    way = draw.choice(("lose", "replace", "replace", "replace", "rename", "swap"))
    if way == "lose":
        del parent[key]
    elif way == "replace":
        parent[key] = copy.deepcopy(draw.choice(more)) if more and draw.random() < 0.4 else value(draw)
    elif way == "swap":
        other = draw.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        parent[key], parent[other] = parent[other], parent[key]
    elif isinstance(parent, dict):
        new = draw.choice((f"{key}x", str(key)[:-1], str(key).upper(), f"module.{key}", draw.choice(TEXTS), 7))
        parent[new] = parent.pop(key)


def configuration(text: bytes, draw: Random) -> bytes:
    """A YAML file of other keys and values."""
    made = worse(yaml.safe_load(text), draw)
    if draw.random() < 0.5:
        return json.dumps(made).encode()  # which is YAML, with the texts that YAML's writer refuses
    try:
        return yaml.safe_dump(made, allow_unicode=True).encode("utf-8", "surrogatepass")
    except yaml.YAMLError:
        return repr(made).encode("utf-8", "surrogatepass")


def command_line(flags: Sequence[str], usual: Sequence[str], draw: Random) -> list[str]:
    """Some of ``usual``, then flags in any spelling, cut short or misspelled, with any values."""
    words = list(usual) if draw.random() < 0.7 else []
    for _ in range(draw.randint(1, 4)):
        flag = draw.choice(list(flags))
        how = draw.random()
        if how < 0.2:
            flag = flag[: draw.randint(1, len(flag))]
        elif how < 0.3:
            flag = flag.replace("-", "_") if draw.random() < 0.5 else flag + draw.choice(("x", "=", "-", " "))
        values = [written(value(draw)) for _ in range(draw.choice((0, 1, 1, 1, 2, 5)))]
        words += [f"{flag}={values[0]}"] if values and draw.random() < 0.3 else [flag, *values]
    if draw.random() < 0.2:
        words.insert(draw.randrange(len(words) + 1), written(value(draw)))
    return words


def written(it: Any) -> str:
    """As somebody would type it; a command line holds no NUL."""
    return (it if isinstance(it, str) else repr(it)).replace("\x00", "?")


def joined(words: Sequence[str]) -> bytes:
    """A command line as the bytes of an input."""
    return "\x00".join(words).encode("utf-8", "surrogatepass")


def parted(data: bytes) -> list[str]:
    """The words of ``joined``, whatever has become of them."""
    return data.decode("utf-8", "surrogateescape").split("\x00")
