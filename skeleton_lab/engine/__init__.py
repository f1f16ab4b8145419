"""The training and evaluation engine: ``raise SystemExit(run(RECIPE, __file__))`` is a room's whole main program.

``fit`` and ``evaluate`` are the same as functions. PyTorch is imported when one of them starts, not with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skeleton_lab.engine.program import run

if TYPE_CHECKING:
    from skeleton_lab.engine.notebook import fit

__all__ = ["fit", "run"]


def __getattr__(name: str) -> Any:
    if name == "fit":
        from skeleton_lab.engine.notebook import fit

        return fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
