"""Maps of what a decision rests on: occlusion, and integrated gradients, of the same cells.

A decision for class c is measured by its log-odds  s(x) = z_c - log sum_{k != c} exp z_k  of the logits z: unlike the
logit alone it counts what speaks for other classes, unlike the probability it does not saturate. With F the room's test
feeder, y a recording, y_0 the same recording with all joints hidden (``clip.Hidden``) and y_g with those of cell g
hidden:

Occlusion (Zeiler and Fergus 2014, section 3, of joints and moments)      O_g = s(F(y)) - s(F(y_g)).

Integrated gradients (Sundararajan et al. 2017, equation 1) along the straight line from x_0 = F(y_0) to x = F(y):

    m   = integral over a from 0 to 1 of  grad s(x_0 + a (x - x_0))
    I_g = <m, F(y) - F(y_g)>

Where F is affine (cropping, resizing, bones, motion), F(y) - F(y_g) is what F makes of the cell's share of y - y_0, so
I_g is their method in the coordinates of the recording, summed over the cell, and completeness holds: the I_g add up to
s(x) - s(x_0). A feeder that also centres, turns or scales each clip by its own joints is not quite affine; then the sum
differs, and how much is reported beside how exact the integral is (midpoint rule).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.engine.evaluate import SEVERAL, average
from skeleton_lab.engine.losses import logits_of
from skeleton_lab.errors import UsageError
from skeleton_lab.explain.cells import Cells
from skeleton_lab.explain.clip import Clip

OCCLUSION, GRADIENTS = "occlusion", "gradients"
METHODS = (OCCLUSION, GRADIENTS)
BATCH = 32  # clips at once without gradients
GRADIENT_BATCH = 8  # with them: what the layers keep is many times as much
STEPS = 32  # of the integral


class Question:
    """How strongly a network decides for a class, of clips as it gets them.

    Args:
        net: in evaluation mode, in its plain form. average: of several clips of a sample, see ``evaluate.average``.
    """

    def __init__(self, net: nn.Module, average: str = "prob") -> None:
        self.net, self._average = net, average

    def of(self, net: nn.Module) -> Question:
        """The same of another network."""
        return Question(net, self._average)

    def logits(self, inputs: Sequence[Tensor]) -> Tensor:
        """(N, K) float32 of what ``Clip.inputs`` returns."""
        device = next((each.device for each in self.net.parameters()), torch.device("cpu"))
        x = [each.to(device) for each in inputs]
        if x[0].dim() != SEVERAL:
            return logits_of(self.net(*x)).float()
        N, clips = x[0].shape[:2]
        return average(
            logits_of(self.net(*(each.flatten(0, 1) for each in x))).float().view(N, clips, -1), self._average
        )

    def log_odds(self, inputs: Sequence[Tensor], target: int) -> Tensor:
        """(N,) of class ``target``."""
        z = self.logits(inputs)
        if z.shape[1] < 2:
            raise UsageError("the network has one class: there is no decision to explain")
        others = torch.cat([z[:, :target], z[:, target + 1 :]], 1)
        return z[:, target] - others.logsumexp(1)


@dataclass
class Maps:
    """What a decision rests on.

    Attributes:
        target: the class; odds, still: its log-odds of the clip, and of the clip with all joints hidden.
        integral: <m, x - x_0>, which integrated gradients exactly make ``odds - still``.
        of: method -> (M, P, W) float64, differences of log-odds; positive cells speak for the class.
    """

    target: int
    odds: float
    still: float
    integral: float
    of: dict[str, np.ndarray]

    @property
    def difference(self) -> float:
        return self.odds - self.still

    @property
    def sum(self) -> float:
        """Of all cells of integrated gradients; completeness says it is ``difference``."""
        return float(self.of[GRADIENTS].sum())


def maps(
    ask: Question, clip: Clip, cells: Cells, target: int, steps: int = STEPS,
    advance: Callable[[int], Any] = lambda count: None,
) -> Maps:  # fmt: skip
    """Both maps of one clip.

    Args:
        steps: of the integral. advance: is told how many of ``work(cells, steps)`` are done.

    Raises:
        UsageError: with everything hidden the feeder makes numbers that are not finite of the clip.
    """
    x, x_0 = clip.inputs([None]), clip.inputs([clip.motionless()])
    if not all(bool(torch.isfinite(each).all()) for each in x_0):
        raise UsageError("a clip that is all zeros cannot be normalised by this network's feeder: take --baseline mean")
    with torch.no_grad():
        odds, still = (float(ask.log_odds(each, target)) for each in (x, x_0))
    slope = mean_gradient(ask, x, x_0, target, steps, advance)
    of = {method: np.zeros(cells.map_shape) for method in METHODS}
    for places in in_batches(list(cells), _batch(x, BATCH)):
        hidden = clip.inputs(cells.mask(place) for place in places)
        with torch.no_grad():
            without = ask.log_odds(hidden, target).double().cpu().numpy()
        changes = _product(slope, x, hidden)
        for place, after, change in zip(places, without, changes):
            of[OCCLUSION][place], of[GRADIENTS][place] = odds - after, change
        advance(len(places))
    return Maps(target, odds, still, float(_product(slope, x, x_0)[0]), of)


def work(cells: Cells, steps: int) -> int:
    """How much ``maps`` has to do, in passes of one clip through the network."""
    return len(cells) + steps


def mean_gradient(
    ask: Question, x: list[Tensor], x_0: list[Tensor], target: int, steps: int, advance: Callable[[int], Any]
) -> list[Tensor]:
    """m of every input, (1, ...) each, by the midpoint rule."""
    total = [torch.zeros(each.shape, dtype=torch.float64) for each in x]
    shares = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    for some in in_batches(shares, _batch(x, GRADIENT_BATCH)):
        between = [
            (b + some.to(a.dtype).view(-1, *[1] * (a.dim() - 1)) * (a - b)).requires_grad_() for a, b in zip(x, x_0)
        ]
        odds = ask.log_odds(between, target).sum()
        found = torch.autograd.grad(odds, between, allow_unused=True)  # a network may not look at the frames' times
        for sum_, gradient in zip(total, found):
            if gradient is not None:
                sum_ += gradient.double().sum(0, keepdim=True).cpu()
        advance(len(some))
    return [each / steps for each in total]


def _product(slope: list[Tensor], x: list[Tensor], other: list[Tensor]) -> np.ndarray:
    """<m, x - other> of every clip of ``other``, (N,) float64."""
    parts = [((a.double() - b.double()) * m).flatten(1).sum(1) for m, a, b in zip(slope, x, other)]
    return torch.stack(parts).sum(0).numpy()


def _batch(x: list[Tensor], most: int) -> int:
    """How many samples are asked at once: fewer of those that have several clips."""
    return max(1, most // (x[0].shape[1] if x[0].dim() == SEVERAL else 1))


def in_batches(items: Any, size: int) -> Iterator[Any]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
