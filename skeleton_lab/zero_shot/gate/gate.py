"""The gate of the generalized protocol: is a sequence of a seen class or not?

A logistic regression on the scores of both classifiers.  The published call minimises over a weight vector per class;
with one vector that is an L2 penalty of 1/4 (C = 2 in scikit-learn's terms), strictly convex in at most 49 unknowns,
which Newton's method solves to machine precision.  Hence no scikit-learn.
"""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.errors import ArchiveError, LabError
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.zero_shot.accuracy import harmonic

FORMAT = "skeleton-lab gate 1"
THRESHOLDS = range(25, 75)  # percent, where they are searched
TEMPERATURES = range(1, 10)


@dataclass(frozen=True)
class Gate:
    """P(seen) = σ(coef . x + intercept); the temperature and threshold that it was chosen with, None if not known.

    The threshold is in the trainer's sense: unseen if P(unseen) > threshold.
    """

    coef: np.ndarray  # (2 S,) float64
    intercept: float
    temperature: int | None = None
    threshold: float | None = None

    def seen(self, x: np.ndarray) -> np.ndarray:
        """P(seen) (N,) of gate features (N, 2 S)."""
        return _sigmoid(x @ self.coef + self.intercept)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def soften(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax of logits (N, n) divided by the temperature, over the n columns; float64."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def gate_features(zero_shot: np.ndarray, softened: np.ndarray) -> np.ndarray:
    """(N, 2 S): the S zero-shot probabilities (N, S), and the S largest of the softened logits (N, n), descending."""
    count = zero_shot.shape[1]
    largest = -np.sort(-softened, axis=1)[:, :count]
    return np.concatenate([-np.sort(-zero_shot.astype(np.float64), axis=1), largest], 1)


def solve(x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients (K,) and intercept of  sum log(1 + exp(-y (v.x + b))) + |v|^2 / 4,  y = 1 for seen, -1 for unseen.

    Args:
        x: (N, K) float64.
        seen: (N,) bool, both values occur.
    """
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.append(np.full(x.shape[1], 0.5), 0.0)
    sign = np.where(seen, 1.0, -1.0)

    def objective(v: np.ndarray) -> float:
        return np.logaddexp(0, -sign * (design @ v)).sum() + (penalty * v * v).sum() / 2

    v = np.zeros(design.shape[1])
    for _ in range(100):
        p = _sigmoid(design @ v)
        gradient = design.T @ (p - seen) + penalty * v
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        here, scale = objective(v), 1.0
        while scale > 1e-6 and objective(v - scale * step) > here:
            scale /= 2
        v = v - scale * step
        if np.abs(step).max() < 1e-10:
            break
    return v[:-1], float(v[-1])


@dataclass(frozen=True)
class Chosen:
    """The gate with the best accuracy (0..1) on the rows kept back for choosing."""

    gate: Gate
    accuracy: float


def train(
    unseen_zs: np.ndarray, seen_zs: np.ndarray, ztest_out: np.ndarray, val_out: np.ndarray,
    thresholds: Sequence[int], temperatures: Sequence[int],
) -> Chosen:  # fmt: skip
    """Fit a gate per temperature and choose temperature and threshold on a fifth of the rows, the first best.

    Args:
        unseen_zs, seen_zs: (Nz, S), (Nv, S) zero-shot probabilities of validation-unseen and -seen sequences.
        ztest_out, val_out: (Nz, n), (Nv, n) logits of the classifier of seen classes, row for row.
        thresholds: percent, increasing.  temperatures: increasing.

    Raises:
        ArchiveError: too few rows to choose on.
    """
    random = np.random.RandomState(5)  # the published stream
    best: Chosen | None = None
    for temperature in temperatures:
        unseen = gate_features(unseen_zs, soften(ztest_out, temperature))
        seen = gate_features(seen_zs, soften(val_out, temperature))
        kept = [random.choice(len(rows), len(rows) // 5, replace=False) for rows in (unseen, seen)]
        if not all(map(len, kept)):
            raise ArchiveError("the gate needs at least 5 validation sequences of seen and of unseen classes")
        random.shuffle(np.arange(len(unseen) + len(seen) - sum(map(len, kept))))  # the optimum has no order; the stream
        rest = [np.delete(rows, chosen, 0) for rows, chosen in zip((unseen, seen), kept)]
        gate = Gate(*solve(np.concatenate(rest), _truth(rest)), temperature)
        held = [unseen[kept[0]], seen[kept[1]]]
        found = _best_threshold(gate, np.concatenate(held), _truth(held), thresholds)
        if best is None or found.accuracy > best.accuracy:
            best = found
    assert best is not None
    return best


def _truth(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.repeat([False, True], [len(part) for part in parts])


def _best_threshold(gate: Gate, x: np.ndarray, seen: np.ndarray, thresholds: Sequence[int]) -> Chosen:
    unseen = 1 - gate.seen(x)
    best = None
    for percent in thresholds:
        accuracy = float(((unseen > percent / 100) == ~seen).mean())
        if best is None or accuracy > best.accuracy:
            best = Chosen(Gate(gate.coef, gate.intercept, gate.temperature, percent / 100), accuracy)
    assert best is not None
    return best


@dataclass(frozen=True)
class Outcome:
    """The generalized test: fractions, nan where a part has no sequences; per sequence the gate and both answers."""

    seen_accuracy: float
    unseen_accuracy: float
    p_seen: np.ndarray  # (N,)
    seen_answer: np.ndarray  # (N,) the class if called seen
    unseen_answer: np.ndarray  # (N,)
    to_seen: np.ndarray  # (N,) bool

    @property
    def pred(self) -> np.ndarray:
        return np.where(self.to_seen, self.seen_answer, self.unseen_answer)

    @property
    def h_mean(self) -> float:
        return harmonic(self.seen_accuracy, self.unseen_accuracy)


def evaluate(
    gate: Gate, zero_shot: np.ndarray, logits: np.ndarray, labels: np.ndarray, seen: np.ndarray, unseen: np.ndarray,
    temperature: float, is_seen: Callable[[np.ndarray], np.ndarray],
) -> Outcome:  # fmt: skip
    """Answer every test sequence.

    Args:
        zero_shot: (N, S) probabilities in the order of ``unseen``.  logits: (N, n).  labels: (N,).
        seen, unseen: classes, ascending.
        is_seen: P(seen) (N,) to decisions (N,) bool.
    """
    softened = soften(logits, temperature)
    p_seen = gate.seen(gate_features(zero_shot, softened))
    seen_answer = seen[softened[:, seen].argmax(1)]
    unseen_answer = unseen[zero_shot.argmax(1)]
    to_seen = is_seen(p_seen)
    right = np.where(to_seen, seen_answer, unseen_answer) == labels
    of_seen = np.isin(labels, seen)
    return Outcome(_mean(right[of_seen]), _mean(right[~of_seen]), p_seen, seen_answer, unseen_answer, to_seen)


def _mean(right: np.ndarray) -> float:
    return float(right.mean()) if right.size else float("nan")


def save(path: Path, gate: Gate) -> None:
    """A pickle of a plain mapping: format, coef (2 S,), intercept, temperature, threshold."""
    content = {
        "format": FORMAT, "coef": gate.coef.tolist(), "intercept": gate.intercept,
        "temperature": gate.temperature, "threshold": gate.threshold,
    }  # fmt: skip
    write_atomically(path, lambda file: pickle.dump(content, file))


class _Regression(dict):
    """Stands for scikit-learn's LogisticRegression in published pickles; holds its attributes and runs nothing."""

    def __setstate__(self, state: dict) -> None:
        self.update(state)


REGRESSIONS = {
    ("sklearn.linear_model._logistic", "LogisticRegression"): _Regression,
    ("sklearn.linear_model.logistic", "LogisticRegression"): _Regression,
}


def load(path: Path, unseen: int) -> Gate:
    """A gate of ``save``, or the scikit-learn pickle of a published program (read without scikit-learn).

    Args:
        unseen: S; the gate must have 2 S coefficients.

    Raises:
        LabError: missing, damaged, or of another split.
    """
    if not path.is_file():
        raise LabError(f"there is no gate {path}: run gating_train.py first, with the work dir of phase val")
    content = safe_pickle.load(path, REGRESSIONS)
    try:
        gate = _published(content) if isinstance(content, _Regression) else _plain(content)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArchiveError(f"{path}: is no gate of these programs or of the published ones ({error!r})") from error
    if gate.coef.shape != (2 * unseen,):
        raise ArchiveError(f"{path}: a gate of {gate.coef.size} coefficients; --ss {unseen} needs {2 * unseen}")
    if not np.isfinite([*gate.coef, gate.intercept]).all():
        raise ArchiveError(f"{path}: coefficients that are not finite")
    return gate


def _plain(content: dict) -> Gate:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}")
    coef = np.asarray(content["coef"], np.float64)
    return Gate(coef, float(content["intercept"]), content["temperature"], content["threshold"])


def _published(content: collections.abc.Mapping) -> Gate:
    """scikit-learn's multinomial form stores half of the difference of its two weight vectors."""
    factor = 2 if content.get("multi_class") == "multinomial" else 1
    coef = np.asarray(content["coef_"], np.float64).reshape(-1)
    return Gate(factor * coef, factor * float(np.asarray(content["intercept_"]).reshape(-1)[0]))
