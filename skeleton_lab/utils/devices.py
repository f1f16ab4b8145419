"""Which devices a program works on, from words: strictly for a run, leniently for scripts that look at a machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from skeleton_lab.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Devices:
    """Where to run.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        indices: the GPUs, the first one holds what exists once; empty on the CPU.
        notice: a line to log, or None.
    """

    kind: Literal["cpu", "cuda"]
    indices: list[int]
    notice: str | None = None


def _index(item: int | str) -> int:
    """GPU index of an item, -1 for the CPU."""
    if isinstance(item, int):
        return item
    return -1 if item == "cpu" else int(item.partition(":")[2] or 0)


def gpus() -> int:
    """How many GPUs PyTorch can use."""
    import torch  # here, so that reading options stays quick

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolve(device: int | str | Sequence[int | str], use_gpu: bool = True) -> Devices:
    """The devices of a run: ``cpu``, ``cuda``, ``cuda:N``, a GPU index, -1 for the CPU, or a list of such.

    ``cpu`` or -1 in front, or ``use_gpu`` False: the CPU, without a single call to CUDA.  Where there is no CUDA
    at all: the CPU with a notice, so that documented lines run on any machine.

    Raises:
        UsageError: an index that does not exist beside GPUs that do, an index twice, CPU and GPU mixed.
    """
    items = [device] if isinstance(device, (int, str)) else list(device)
    indices = [_index(item) for item in items]
    if indices[0] == -1 or not use_gpu:
        return Devices("cpu", [])
    named = " ".join(str(item) for item in items)
    if -1 in indices:
        raise UsageError(f"--device {named}: the CPU and GPUs do not mix")
    if len(set(indices)) < len(indices):
        raise UsageError(f"--device {named}: names a GPU twice")
    count = gpus()
    if not count:
        return Devices("cpu", [], f"no CUDA device on this machine: --device {named} runs on the CPU")
    if max(indices) >= count:
        import torch

        existing = ", ".join(f"{i} ({torch.cuda.get_device_name(i)})" for i in range(count))
        raise UsageError(f"--device {named}: there is no GPU {max(indices)}; this machine has {existing}")
    return Devices("cuda", indices)


def pick_device(text: str) -> torch.device:
    """The one device that a script works on: ``auto`` (or nothing), ``cpu``, ``cuda``, ``cuda:N``.

    What cannot be had becomes what comes nearest, with a line on stderr: these scripts are for looking at a machine,
    so they run everywhere.
    """
    import torch

    word = text.strip().lower()
    if word == "cpu":
        return torch.device("cpu")
    count = gpus()
    best = torch.device("cuda:0" if count else "cpu")
    if word in ("", "auto"):
        return best
    if not re.fullmatch(r"cuda(:\d+)?", word):
        print(f"warning: --device {text} is none of auto, cpu, cuda, cuda:N: using {best}", file=sys.stderr)
    elif not count:
        print(f"warning: --device {text}: there is no CUDA device, using the CPU", file=sys.stderr)
    elif _index(word) >= count:
        print(f"warning: --device {text}: this machine has {count} CUDA device(s), using cuda:0", file=sys.stderr)
    else:
        return torch.device("cuda", _index(word))
    return best
