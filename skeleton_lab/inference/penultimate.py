"""The vector in front of a network's classifier, whatever the network: found while it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from skeleton_lab.engine.losses import logits_of
from skeleton_lab.errors import UsageError

MOST = 4  # classifiers whose outputs are added up (two streams have two)
CLOSE = 1e-3
PRODUCTS = (F.linear, torch.conv1d, torch.conv2d, torch.conv3d, F.conv1d, F.conv2d, F.conv3d)


class _Noting(TorchFunctionMode):
    """Keeps input and output of the last products with a weight matrix, by whatever module or function."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        if function in PRODUCTS:
            x = args[0] if args else kwargs["input"]
            if x.shape[2:].numel() == 1 == output.shape[2:].numel():
                self.seen = [*self.seen[1 - MOST :], (x, output)]
        return output


class WithFeatures(nn.Module):
    """Calls a network and returns logits and features side by side, (N, K + F) float32.

    The features are the input of the last fully connected layer (a linear map or a convolution on one point),
    averaged over whatever the network averages behind it (persons); where the logits are the sum of several such
    layers, their inputs stand one behind the other. Networks call these as modules (which a forward hook would see)
    or as functions of their weights; a function mode sees both.

    Args:
        model: the network, or what is called in its place.

    Attributes:
        K: logits of the last call.
    """

    K = 0

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = (model,)  # not registered: this module owns nothing

    def train(self, mode: bool = True) -> WithFeatures:
        """The wrapped network goes along."""
        if isinstance(self._model[0], nn.Module):
            self._model[0].train(mode)
        return super().train(mode)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (N, K), then features (N, F).

        Raises:
            UsageError: the logits do not come out of fully connected layers.
        """
        return torch.cat(self.parts(*inputs), 1)

    def parts(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and features (N, F), float32."""
        with _Noting() as noted:
            logits = logits_of(self._model[0](*inputs)).float()
        self.K = logits.shape[1]
        return logits, _features(logits, noted.seen)


class FeaturesAlone(WithFeatures):
    """As ``WithFeatures``, without the logits: (N, F)."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.parts(*inputs)[1]


def _features(logits: Tensor, seen: list[tuple[Tensor, Tensor]]) -> Tensor:
    parts: list[Tensor] = []
    total, enough = torch.zeros_like(logits), CLOSE * logits.abs().max().clamp(min=1e-6)
    for x, y in reversed(seen):
        outcome, cause = _pooled(y, len(logits)), _pooled(x, len(logits))
        if outcome is None or cause is None or outcome.shape != logits.shape:
            break
        total = total + outcome
        parts.insert(0, cause)
        if bool((total - logits).abs().max() <= enough):
            return torch.cat(parts, 1)
    raise UsageError("the network's logits are not the output of a fully connected layer; its features are unknown")


def _pooled(x: Tensor, rows: int) -> Tensor | None:
    """(N, F) of (N*P, F) or (N*P, F, 1, ...): the mean over P; None where it has another shape."""
    if x.dim() < 2 or x.shape[2:].numel() != 1 or len(x) % rows:
        return None
    return x.float().reshape(rows, -1, x.shape[1]).mean(1)
