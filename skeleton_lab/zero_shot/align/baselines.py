"""Two baselines without alignment by a network: what FS-VAE and MSF-GZSSAR have to beat on the same features and texts.

* **ConSE** (Norouzi et al., ICLR 2014): the mean of the seen classes' texts, weighted by the probabilities of the ten
  most probable ones; the unseen class whose text has the largest cosine to it. Nothing is trained.
* **Ridge**: a linear map from features to texts with an L2 penalty; the unseen class whose text has the largest cosine
  to what it predicts. The penalty is chosen by cross-validation over groups of *seen* classes.

Neither draws anything at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.class_splits import Split
from skeleton_lab.zero_shot.accuracy import harmonic
from skeleton_lab.zero_shot.features import feature_folder
from skeleton_lab.zero_shot.features.feature_folder import Features

NAMES = {"conse": "ConSE", "ridge": "Ridge regression"}
TOP = 10  # classes that ConSE averages over, as in its paper
PENALTIES = tuple(float(10.0**power) for power in range(-4, 3))  # times the number of sequences
FOLDS = 5
DECAY = 1e-3  # of the softmax classifier, on standardised features
FITTED = "a softmax classifier fitted on train.npy"


@dataclass(frozen=True)
class Baseline:
    """What a baseline answers: unseen classes (N,) for the rows of ztest and of gtest, and how it was made."""

    ztest: np.ndarray
    gtest: np.ndarray
    made: dict[str, Any]

    def accuracy(self, features: Features) -> float:
        """Among unseen classes alone, over sequences."""
        return float((self.ztest == features.ztest.labels).mean())


def compute(folder: Path, features: Features, table: np.ndarray, split: Split) -> dict[str, Baseline]:
    """Both baselines on a folder of phase train.

    Args:
        folder: of the features; logits ``ztest_out.npy`` and ``gtest_out.npy`` are read where it has them.
        features, table: of ``feature_folder.read`` and ``feature_folder.class_table``.

    Raises:
        ArchiveError: logits do not go with the features.
    """
    return {"conse": conse(folder, features, table, split), "ridge": ridge(features, table, split)}


def nearest(vectors: np.ndarray, texts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(N,) of ``classes`` (S,): the text (S, D) with the largest cosine to each vector (N, D), the first on ties."""
    lengths = np.maximum(np.linalg.norm(texts, axis=1), 1e-30)
    return classes[(vectors @ (texts / lengths[:, None]).T).argmax(1)]


def conse(folder: Path, features: Features, table: np.ndarray, split: Split) -> Baseline:
    """ConSE by the backbone's probabilities, or, without its logits, by those of a softmax classifier."""
    found, source = _probabilities(folder, features, split)
    texts = table.astype(np.float64)
    answers = []
    for seen in found:
        top = np.argsort(-seen, axis=1, kind="stable")[:, :TOP]
        weights = np.zeros_like(seen)
        np.put_along_axis(weights, top, np.take_along_axis(seen, top, 1), 1)
        mixed = (weights / weights.sum(1, keepdims=True)) @ texts[split.seen]
        answers.append(nearest(mixed, texts[split.unseen], split.unseen))
    return Baseline(*answers, {"probabilities": source, "classes": min(TOP, len(split.seen))})


def _probabilities(folder: Path, features: Features, split: Split) -> tuple[list[np.ndarray], dict[str, str]]:
    """Of the seen classes, for ztest and gtest, (N, n - S) each, and where they come from."""
    parts = {"ztest": features.ztest, "gtest": features.second}
    logits: dict[str, np.ndarray] = {}
    source = {}
    for name, part in parts.items():
        if (folder / f"{name}_out.npy").is_file():
            logits[name] = feature_folder.numbers(folder, f"{name}_out", columns=split.num_class)[:, split.seen]
            feature_folder.same_rows(logits[name], folder / f"{name}_out.npy", part.features, folder / f"{name}.npy")
            source[name] = f"{name}_out.npy"
    if "ztest" not in logits and "gtest" in logits:  # published folders: the same sequences, in the same order
        of_unseen = np.isin(features.second.labels, split.unseen)
        if np.array_equal(features.second.features[of_unseen], features.ztest.features):
            logits["ztest"], source["ztest"] = logits["gtest"][of_unseen], "gtest_out.npy"
    missing = [name for name in parts if name not in logits]
    if missing:
        classifier = _Softmax(features, split)
        for name in missing:
            logits[name], source[name] = classifier(parts[name].features), FITTED
    return [_softmax(logits[name]) for name in parts], source


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


class _Scale:
    """Features with mean 0 and standard deviation 1 on the training sequences; constant ones become 0."""

    def __init__(self, features: np.ndarray) -> None:
        self.mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
        self.factor = np.where(deviation > 1e-6 * max(deviation.max(), 1e-30), 1 / np.maximum(deviation, 1e-30), 0)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) * self.factor


class _Softmax:
    """Multinomial logistic regression on the training sequences of seen classes, by L-BFGS from zero."""

    def __init__(self, features: Features, split: Split) -> None:
        import torch  # here: the programs tell mistakes before they load it

        kept = np.isin(features.train.labels, split.seen)
        self.scale = _Scale(features.train.features[kept])
        x = torch.from_numpy(self.scale(features.train.features[kept]))
        y = torch.from_numpy(np.searchsorted(split.seen, features.train.labels[kept]))
        weight = torch.zeros(len(split.seen), x.shape[1], dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(len(split.seen), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            value = torch.nn.functional.cross_entropy(x @ weight.T + bias, y) + DECAY / 2 * weight.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        self.weight, self.bias = weight.detach().numpy(), bias.detach().numpy()

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return self.scale(features) @ self.weight.T + self.bias


def ridge(features: Features, table: np.ndarray, split: Split) -> Baseline:
    """Ridge regression from standardised features to texts less the mean text of the seen classes."""
    kept = np.isin(features.train.labels, split.seen)
    x, labels = features.train.features[kept], features.train.labels[kept]
    texts = table.astype(np.float64)
    penalty, accuracies = choose_penalty(x, labels, texts)
    fitted = _Ridge(x, labels, texts)
    answers = [fitted.answer(part.features, penalty, split.unseen) for part in (features.ztest, features.second)]
    return Baseline(*answers, {"penalty": penalty, "seen_accuracies": dict(zip(map(str, PENALTIES), accuracies))})


class _Ridge:
    """The decomposition that all penalties share."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, texts: np.ndarray) -> None:
        self.texts, self.mean = texts, texts[np.unique(labels)].mean(0)
        self.scale = _Scale(features)
        x = self.scale(features)
        self.rows = len(x)
        self.values, self.vectors = np.linalg.eigh(x.T @ x)
        self.product = self.vectors.T @ (x.T @ (texts[labels] - self.mean))

    def answer(self, features: np.ndarray, penalty: float, classes: np.ndarray) -> np.ndarray:
        weights = self.vectors @ (self.product / (self.values + penalty * self.rows)[:, None])
        return nearest(self.scale(features) @ weights, self.texts[classes] - self.mean, classes)


def choose_penalty(features: np.ndarray, labels: np.ndarray, texts: np.ndarray) -> tuple[float, list[float]]:
    """The penalty, and the accuracy of each of ``PENALTIES``: on groups of classes that a fit was made without.

    Only sequences (N, V) and texts of the classes in ``labels`` (N,) are used. Every fifth class makes a group, its
    sequences are classified among its classes; of equally good penalties the largest is taken.
    """
    classes = np.unique(labels)
    folds = min(FOLDS, len(classes) // 2)
    if folds < 2:  # nothing to choose by
        return 1.0, [0.0] * len(PENALTIES)
    right = np.zeros((folds, len(PENALTIES)))
    for fold in range(folds):
        held = classes[fold::folds]
        out = np.isin(labels, held)
        fitted = _Ridge(features[~out], labels[~out], texts)
        for place, penalty in enumerate(PENALTIES):
            right[fold, place] = (fitted.answer(features[out], penalty, held) == labels[out]).mean()
    means = right.mean(0)
    best = len(means) - 1 - int(means[::-1].argmax())
    return PENALTIES[best], means.tolist()


def generalised(found: Baseline, labels: np.ndarray, split: Split, to_seen: np.ndarray, seen_answer: np.ndarray):
    """Seen, unseen and harmonic accuracy where a gate calls sequences seen (N,) and the baseline answers the others."""
    right = np.where(to_seen, seen_answer, found.gtest) == labels
    of_seen = np.isin(labels, split.seen)
    seen, unseen = (float(right[rows].mean()) if rows.any() else None for rows in (of_seen, ~of_seen))
    both = None if seen is None or unseen is None else harmonic(seen, unseen)
    return {"seen_accuracy": seen, "unseen_accuracy": unseen, "h_mean": both}


def notice(told: dict[str, dict[str, Any]]) -> str:
    """A line for the terminal."""
    return ", ".join(f"{NAMES[key]} {100 * row['zsl_accuracy']:.2f}%" for key, row in told.items())
