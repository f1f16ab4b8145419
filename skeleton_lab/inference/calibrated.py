"""``calibration.json`` beside weights: the network's temperature, and when it had better say that it does not know.

``skeleton-lab calibrate`` writes it; whoever predicts reads it. PyTorch is not needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.utils import file_digests, unknown
from skeleton_lab.utils.atomic import refuse_special

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """What was measured on clips that the network was not trained on.

    Attributes:
        path: of the file; temperature: by which logits are divided before the softmax.
        classes: that the network was trained on; None: all of its outputs.
        score: one of ``utils.unknown.SCORES``; threshold: below it a clip is perhaps of no known class.
    """

    path: Path
    temperature: float
    classes: Sequence[int] | None
    score: str
    threshold: float

    def knows(self, logits: np.ndarray) -> np.ndarray:
        """(...) bool: whether what has these logits (..., K) looks like a class of the training."""
        return unknown.score(self.score, logits, self.classes) >= self.threshold


def digest(weights: Path) -> str:
    """Of the file's bytes, 32 hexadecimal digits."""
    return file_digests.whole(weights, 16)


def beside(weights: Path, say: Callable[[str], Any]) -> Calibration | None:
    """What is known of these weights: from the folder they are in, or of MS-G3D's from the one above.

    Args:
        say: takes a line where the file is of other weights, and not used.

    Raises:
        UsageError: the file is damaged.
    """
    for folder in (weights.parent, weights.parent.parent):
        path = folder / FILE
        if not path.is_file():
            continue
        told = read(path)
        if told.get("digest") == digest(weights):
            try:
                return stated(path, told)
            except ValueError as error:
                raise _damaged(path, error) from None
        if folder == weights.parent:
            say(f"{path} is of other weights ({told.get('weights')}): probabilities are not calibrated")
    return None


def read(path: Path) -> dict[str, Any]:
    """The content of a ``calibration.json``; UsageError if it is none."""
    refuse_special(path)
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, getattr(error, "strerror", None) or error) from None
    if not isinstance(told, dict):
        raise _damaged(path, "no mapping")
    return told


def _damaged(path: Path, why: Any) -> UsageError:
    return UsageError(f"{path} is no file of skeleton-lab calibrate ({why}); remove it, or calibrate again")


def statement(calibration: Calibration) -> dict[str, Any]:
    """What ``stated`` reads, as JSON has it; a ``calibration.json`` holds more."""
    return {
        "temperature": calibration.temperature, "classes": calibration.classes,
        "reject": {"score": calibration.score, "threshold": calibration.threshold},
    }  # fmt: skip


def stated(path: Path, told: dict[str, Any]) -> Calibration:
    """The calibration that the content of a file states; ValueError, which says why, where it is none."""
    temperature, refused, classes = _number(told.get("temperature")), told.get("reject"), told.get("classes")
    if temperature is None or temperature <= 0:
        raise ValueError(f"temperature {told.get('temperature')!r}")
    threshold = _number(refused.get("threshold")) if isinstance(refused, dict) else None
    if refused is None or threshold is None:
        raise ValueError("no threshold")
    if refused.get("score") not in unknown.SCORES:
        raise ValueError(f"score {refused.get('score')!r}")
    if classes is not None and not (isinstance(classes, list) and classes and all(map(_index, classes))):
        raise ValueError("classes that are none")
    return Calibration(path, temperature, classes, refused["score"], threshold)


def _number(value: Any) -> float | None:
    """A finite number, None for anything else."""
    given = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if given else None


def _index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
