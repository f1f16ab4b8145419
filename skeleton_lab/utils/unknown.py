"""Telling clips of unknown classes from those of known ones by one score of the logits, and how well that works.

A classifier names one of its classes whatever it sees. Each score here is higher for what looks like the training:

- ``max probability``: the largest probability (Hendrycks & Gimpel, ICLR 2017), the baseline;
- ``max logit``: the largest logit (Hendrycks et al., ICML 2022);
- ``energy``: log sum_k exp(logit_k), the negative of the free energy at temperature 1 (Liu et al., NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.utils.reliability import probabilities

SCORES = ("max probability", "max logit", "energy")
ACCEPTED = 0.95  # share of the known clips that a threshold accepts
FLAT = 1e-4  # an energy that varies less says nothing
POINTS = 101  # of a ROC curve


def score(name: str, logits: np.ndarray, known: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """(...) float64, one of ``SCORES`` of logits (..., K), of the outputs ``known`` alone where they are given.

    A training on some of the classes leaves outputs that no clip was ever to get; they are no part of what is known.
    """
    mine = logits.astype(np.float64) if known is None else logits[..., list(known)].astype(np.float64)
    if name == "max probability":
        return probabilities(mine).max(-1)
    top = mine.max(-1)
    if name == "max logit":
        return top
    if name == "energy":
        return top + np.log(np.exp(mine - top[..., None]).sum(-1))
    raise ValueError(f"there is no score {name!r}; scores are {', '.join(SCORES)}")


def flat(energy: np.ndarray) -> bool:
    """Whether the energies (N,) say nothing: the logits are logarithms of probabilities, which add up to one."""
    return bool(np.ptp(energy) < FLAT) if len(energy) else True


def threshold(known: np.ndarray, accepted: float = ACCEPTED) -> float:
    """The largest score that at least this share of the known clips' scores (N,) reach; N is 1 or more."""
    rank = int(np.ceil(accepted * len(known) - 1e-9))
    return float(np.sort(known)[::-1][max(rank, 1) - 1])


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Probability that a known clip has the higher score than an unknown one, half of it where they are equal."""
    others = np.sort(unknown)
    below, upto = (np.searchsorted(others, known, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(others))


@dataclass(frozen=True)
class Separation:
    """How well a score separates known from unknown clips.

    Attributes:
        fpr: share of the unknown clips that is accepted where ``ACCEPTED`` of the known ones are (FPR95).
        roc: share of the unknown clips that is accepted where k / (P - 1) of the known ones are, k = 0..P-1.
    """

    auroc: float
    fpr: float
    roc: list[float]


def separation(known: np.ndarray, unknown: np.ndarray) -> Separation:
    """Of scores (N,) and (M,), neither of them empty."""

    def false(accepted: float) -> float:
        return float((unknown >= threshold(known, accepted)).mean())

    roc = [0.0, *(false(share) for share in np.linspace(0, 1, POINTS)[1:])]
    return Separation(auroc(known, unknown), false(ACCEPTED), roc)
