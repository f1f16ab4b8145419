"""Which devices a run uses, and the arithmetic there: ``--device``, ``--use-gpu``, ``--precision``, ``--half``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skeleton_lab.engine.config.options import Options
from skeleton_lab.errors import UsageError


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


def resolve(options: Options) -> Devices:
    """The devices of a run.

    ``cpu`` or -1 in front, or ``--use-gpu False``: the CPU, without a single call to CUDA.  Where there is no CUDA
    at all: the CPU with a notice, so that documented lines run on any machine.

    Raises:
        UsageError: an index that does not exist beside GPUs that do, an index twice, CPU and GPU mixed.
    """
    items = options.device if isinstance(options.device, list) else [options.device]
    indices = [_index(item) for item in items]
    if indices[0] == -1 or not options.use_gpu:
        return Devices("cpu", [])
    named = " ".join(str(item) for item in items)
    if -1 in indices:
        raise UsageError(f"--device {named}: the CPU and GPUs do not mix")
    if len(set(indices)) < len(indices):
        raise UsageError(f"--device {named}: names a GPU twice")

    import torch  # here, so that reading options stays quick

    if not torch.cuda.is_available():
        return Devices("cpu", [], f"no CUDA device on this machine: --device {named} runs on the CPU")
    count = torch.cuda.device_count()
    if max(indices) >= count:
        existing = ", ".join(f"{i} ({torch.cuda.get_device_name(i)})" for i in range(count))
        raise UsageError(f"--device {named}: there is no GPU {max(indices)}; this machine has {existing}")
    return Devices("cuda", indices)


def precision_of(options: Options, kind: str) -> tuple[str, str | None]:
    """Fabric's name of the arithmetic, and what has to be said about it."""
    wanted = {"32": "32-true", "64": "64-true"}.get(options.precision, options.precision)
    if kind == "cpu" and wanted == "16-mixed":
        return "bf16-mixed", "--precision 16-mixed: the CPU has bf16-mixed instead"
    if not options.half:
        return wanted, None
    if kind == "cpu":
        return wanted, "--half: ignored on the CPU"
    if options.amp_opt_level == 0:
        return "32-true", None
    level = options.amp_opt_level
    return "16-mixed", f"--amp-opt-level {level} is treated as 1: mixed precision" if level > 1 else None
