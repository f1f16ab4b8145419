"""Whether a file says what the network says: both on the same clips, in batches of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.errors import one_line
from skeleton_lab.inference.onnx_about import LOGITS
from skeleton_lab.utils.importing import optional

TOLERANCE = 1e-4  # of logits up to 1; of larger ones as a share of the largest
BATCHES = (1, 3)


@dataclass(frozen=True)
class Compared:
    """The largest difference between the logits of a file and its network, and the largest logit, of some batches.

    ``classes``: K; ``trouble``: what stopped the file, in place of a difference.
    """

    worst: float
    largest: float
    classes: int
    trouble: str | None = None

    @property
    def agrees(self) -> bool:
        return self.trouble is None and self.worst <= TOLERANCE * max(1.0, self.largest)  # False for NaN


def session(model: Any) -> Any:
    """A file's graph (``onnx.ModelProto``) in onnxruntime, on one thread.

    Raises:
        UsageError: onnxruntime is not installed.
    """
    runtime = optional("onnxruntime", "onnxruntime", "export", "export")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is told in the line
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def said(running: Any, inputs: Sequence[Tensor]) -> np.ndarray:
    """Logits (N, K) of a session."""
    named = {told.name: x.contiguous().numpy() for told, x in zip(running.get_inputs(), inputs)}
    return running.run([LOGITS], named)[0]


@torch.no_grad()
def compared(running: Any, net: nn.Module, inputs: Sequence[Tensor]) -> Compared:
    """The two on clips, in batches of ``BATCHES`` clips that take turns until every clip has had one.

    Args:
        inputs: of the network, (N, ...) each, N at least the largest batch.
    """
    worst, largest, first, turn = 0.0, 0.0, 0, 0
    while first < len(inputs[0]):
        size = BATCHES[turn % len(BATCHES)]
        first = min(first, len(inputs[0]) - size)
        part = [x[first : first + size] for x in inputs]
        expected = net(*part).numpy()
        largest = max(largest, float(np.abs(expected).max()))
        try:
            found = said(running, part)
        except Exception as error:  # onnxruntime's own classes have no other common parent
            return Compared(
                np.inf, float(np.abs(expected).max()), expected.shape[1], f"{size} clips: {one_line(error)}"
            )
        if found.shape != expected.shape:
            return Compared(
                np.inf,
                float(np.abs(expected).max()),
                expected.shape[1],
                f"{size} clips: answers of shape {found.shape}",
            )
        worst = float(np.maximum(worst, np.abs(found - expected).max()))  # NaN stays
        first, turn = first + size, turn + 1
    return Compared(worst, largest, expected.shape[1])


def longer(inputs: Sequence[Tensor], axes: Sequence[int | None], more: int = 8) -> list[Tensor]:
    """The same clips with ``more`` frames, their first ones again, along ``axes``."""
    return [
        x if axis is None else torch.cat([x, x.narrow(axis, 0, min(more, x.shape[axis]))], axis)
        for x, axis in zip(inputs, axes)
    ]
