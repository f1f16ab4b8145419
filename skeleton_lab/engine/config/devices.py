"""Which devices a run uses, and the arithmetic there: ``--device``, ``--use-gpu``, ``--precision``, ``--half``."""

from __future__ import annotations

from skeleton_lab.engine.config.options import Options
from skeleton_lab.utils import devices
from skeleton_lab.utils.devices import Devices


def resolve(options: Options) -> Devices:
    """The devices of a run; UsageError as of ``utils.devices.resolve``."""
    return devices.resolve(options.device, options.use_gpu)


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
