"""Whether the probabilities of a classifier can be believed (calibration), and the temperature that mends them.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: of the clips that a network is 80 % sure of, 80 %
should be right. A temperature T divides all logits; the most probable class stays the same, how sure it is does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError

BINS = 15  # of equal width, as Guo et al. count
DRAWS = 200  # of right and wrong answers of a network that is calibrated
SEED = 0
SPAN = 1e4  # the temperature is looked for from 1 / SPAN to SPAN of the logits' own size


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Softmax of logits (..., K) / temperature, float64."""
    warm = logits.astype(np.float64) / temperature
    shifted = np.exp(warm - warm.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@dataclass(frozen=True)
class Reliability:
    """Confidence (the best class's probability) against accuracy of N clips, in bins of the confidence.

    Attributes:
        count: clips in each bin; confidence, accuracy: their means there, 0 in an empty one.
        low, high: between which a calibrated network's accuracy would lie in 95 of 100 cases, with as many clips as
            sure as these (the consistency bars of Bröcker & Smith 2007).
        ece: expected calibration error, the mean of |accuracy - confidence| over the bins, by their clips.
        ece_calibrated: that of a calibrated network on average: chance alone, with as many clips as sure as these.
        brier: mean squared difference of probabilities and truth, summed over the classes (Brier 1950): 0 to 2.
        nll: mean negative log-likelihood of the true class, in nats.
    """

    samples: int
    top1: float
    mean_confidence: float
    ece: float
    ece_calibrated: float
    brier: float
    nll: float
    count: list[int]
    confidence: list[float]
    accuracy: list[float]
    low: list[float]
    high: list[float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, told: Any) -> Reliability:
        """What ``as_json`` wrote.

        Raises:
            ValueError: anything else.
        """
        names = cls.__dataclass_fields__
        if not isinstance(told, Mapping) or set(told) != set(names):
            raise ValueError("other figures than those of a reliability diagram")
        lists = [told[name] for name in ("count", "confidence", "accuracy", "low", "high")]
        if not all(isinstance(each, list) and len(each) == len(lists[0]) > 0 for each in lists):
            raise ValueError("bins that do not go together")
        if not np.isfinite([value for each in told.values() for value in np.atleast_1d(each)]).all():
            raise ValueError("figures that are not finite")
        return cls(**told)


def measured(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0, bins: int = BINS) -> Reliability:
    """Calibration of N clips.

    Args:
        logits: (N, K), finite, N at least 1; labels: (N,) of 0..K-1.
    """
    p = probabilities(logits, temperature)
    rows = np.arange(len(labels))
    sure, right = p.max(1), p.argmax(1) == labels
    places = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)  # (m - 1) / M < sure <= m / M
    count = np.bincount(places, minlength=bins)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(places, values, bins) / np.maximum(count, 1)

    confidence = mean(sure)
    rng = np.random.default_rng(SEED)
    drawn = np.stack([mean(rng.random(len(sure)) < sure) for _ in range(DRAWS)])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    share = count / len(labels)
    accuracy = mean(right)
    truth = p[rows, labels]
    return Reliability(
        samples=len(labels),
        top1=float(right.mean()),
        mean_confidence=float(sure.mean()),
        ece=float((share * np.abs(accuracy - confidence)).sum()),
        ece_calibrated=float((np.abs(drawn - confidence) @ share).mean()),
        brier=float(((p**2).sum(1) - 2 * truth + 1).mean()),
        nll=float(_nll(logits, labels, temperature)),
        count=count.tolist(), confidence=confidence.tolist(), accuracy=accuracy.tolist(),
        low=low.tolist(), high=high.tolist(),
    )  # fmt: skip


def _nll(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """By logarithms, which a probability of 0 does not stop."""
    warm = logits.astype(np.float64) / temperature
    warm -= warm.max(1, keepdims=True)
    return float((np.log(np.exp(warm).sum(1)) - warm[np.arange(len(labels)), labels]).mean())


def fitted_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """The temperature with the least negative log-likelihood on clips that were neither trained on nor are tested.

    With b = 1 / T the mean of log sum_k exp(b z_k) - b z_y is convex in b; its slope, the mean over the clips of
    E_p[z] - z_y with p = softmax(b z), has one root at most, which is found by halving.

    Args:
        logits: (N, K), finite; labels: (N,) of 0..K-1.

    Returns:
        None where there is no such temperature: the true class has the largest logit in every clip, so the likelihood
        grows for ever as T goes to 0.

    Raises:
        UsageError: the logits say nothing about the labels: no temperature is better than that of equal chances.
    """
    z = logits.astype(np.float64)
    z -= z.max(1, keepdims=True)
    true = z[np.arange(len(labels)), labels]
    size = float(np.abs(z).mean())

    def slope(b: float) -> float:
        p = np.exp(b * z)
        return float(((p * z).sum(1) / p.sum(1) - true).mean())

    if not size or slope(1 / (SPAN * size)) >= 0:
        raise UsageError(
            f"the network is not better than chance on the {len(labels)} clips that are held out, so there is nothing "
            "to calibrate; train it further"
        )
    if not true.any():
        return None
    low, high = np.log(1 / (SPAN * size)), np.log(SPAN / size)
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return float(np.exp(-low))
