"""The figures of a report: headline accuracies, confusion, per-class accuracy, hardest pairs, costs."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from skeleton_lab.reporting.run_report.work_dir import Run, number, share
from skeleton_lab.utils import statistics

PAIRS = 12


@dataclass
class Score:
    """One accuracy of the headline; fractions, None where not known."""

    title: str
    top1: float | None
    others: dict[int, float]  # k -> top-k accuracy, k > 1
    epoch: int | None
    loss: float | None
    note: str
    samples: int | None = None  # clips that it was measured on

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of ``top1``, 95 %."""
        if self.top1 is None or not self.samples or not 0 <= self.top1 <= 1:
            return None
        return statistics.wilson(round(self.top1 * self.samples), self.samples)


@dataclass
class Confusion:
    """Counts between the classes that occur, in true or predicted labels."""

    classes: np.ndarray  # (k,) ids, ascending
    counts: np.ndarray  # (k, k) true x predicted

    @property
    def totals(self) -> np.ndarray:
        return self.counts.sum(1)

    @property
    def wrong(self) -> int:
        """Misclassified samples."""
        return int(self.counts.sum() - np.trace(self.counts))

    @property
    def confused(self) -> int:
        """Pairs of classes of which one was taken for the other."""
        return int(np.count_nonzero(self.counts)) - int(np.count_nonzero(np.diag(self.counts)))


@dataclass
class ClassAccuracy:
    cls: int
    correct: int
    total: int
    mistaken: int | None  # the class it is most often taken for
    mistakes: int  # and how often

    @property
    def share(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Of ``share``, 95 %."""
        return statistics.wilson(self.correct, self.total)


@dataclass
class Pair:
    true: int
    pred: int
    count: int | None  # None: not counted, there is no evaluation
    total: int
    clips: list[int]  # places in hardest.npz


def top_k(event: dict) -> dict[int, float]:
    """k -> accuracy, from the keys ``top{k}`` of an event; what is no fraction is left out."""
    found = {}
    for key, value in event.items():
        match = re.fullmatch(r"top(\d+)", key)
        if match and (accuracy := share(value)) is not None:
            found[int(match[1])] = accuracy
    return dict(sorted(found.items()))


def scores(run: Run) -> list[Score]:
    """The accuracies worth a headline. A "best" epoch was picked by the test set or by validation: that is said."""
    if not run.epochs:
        return _scores_without_training(run)
    test, val, clips = _counted(run, "test"), _counted(run, "val"), _test_clips(run)
    best = run.result.get("best") or (test[_best(test)] if test else None)
    last = run.result.get("last") or (test[max(test)] if test else None)
    found = []
    if isinstance(best, dict):
        if test or not val:
            note = "epoch picked by the test set itself, which flatters a little"
            found.append(_score("Best on test", best, note, clips))
        else:
            found.append(_score("Best on validation", best, "test accuracy of the epoch that validation picked", clips))
    if isinstance(last, dict):
        note = "test accuracy; picked by nothing, the fair figure of a fixed recipe"
        found.append(_score("Last epoch", last, note, clips))
    if test and val and _best(val) in test:
        note = "test accuracy of the epoch that validation picked"
        found.append(_score("Best on validation", test[_best(val)], note, clips))
    if not found and val:
        note = "validation accuracy; the test set is looked at when the run ends"
        found.append(_score("Best on validation so far", val[_best(val)], note))
    return found


def _scores_without_training(run: Run) -> list[Score]:
    if run.after:
        return [_score("Test", run.after[-1] | {"epoch": None}, "given weights, nothing was trained", _test_clips(run))]
    if run.evaluation is None:
        return []
    accuracy = float((run.evaluation.labels == run.evaluation.pred).mean())
    return [Score("Test", accuracy, {5: run.evaluation.top5}, None, None, "from evaluation.npz", _test_clips(run))]


def _test_clips(run: Run) -> int | None:
    """How many the run tests: as its start tells, else those of evaluation.npz."""
    told = number(run.start.get("test_samples"))
    if told is not None and told >= 1:
        return int(told)
    return None if run.evaluation is None else len(run.evaluation.labels)


def _counted(run: Run, split: str) -> dict[int, dict]:
    """The evaluations of a split that tell a top-1 accuracy."""
    return {epoch: event for epoch, event in run.evals.get(split, {}).items() if share(event.get("top1")) is not None}


def _best(evaluations: dict[int, dict]) -> int:
    """The first epoch with the highest top-1 accuracy."""
    return max(evaluations, key=lambda epoch: (evaluations[epoch]["top1"], -epoch))


def _score(title: str, event: dict, note: str, samples: int | None = None) -> Score:
    """``samples``: clips of the evaluation, where they are known."""
    accuracies = top_k(event)
    top1 = accuracies.pop(1, None)
    epoch, loss = number(event.get("epoch")), number(event.get("loss"))
    return Score(title, top1, accuracies, None if epoch is None else int(epoch), loss, note, samples)


def evaluated(run: Run) -> str:
    """What evaluation.npz is of, in the words of the headline: "Epoch 8, best on test"."""
    epoch = run.evaluation.epoch if run.evaluation else None
    if epoch is None:
        return "Last evaluation"
    titles = [score.title for score in scores(run) if score.epoch == epoch]
    return f"Epoch {epoch}" + "".join(f", {title[0].lower()}{title[1:]}" for title in dict.fromkeys(titles))


def confusion(run: Run) -> Confusion | None:
    if run.evaluation is None:
        return None
    return counted(run.evaluation.labels, run.evaluation.pred)


def counted(labels: np.ndarray, pred: np.ndarray) -> Confusion:
    """True against predicted classes of N samples."""
    classes = np.union1d(labels, pred)
    places = np.searchsorted(classes, labels), np.searchsorted(classes, pred)
    return Confusion(classes, statistics.confusion(*places, len(classes)))


def per_class(matrix: Confusion) -> list[ClassAccuracy]:
    """The classes that have samples, worst first."""
    found = []
    for row, cls in enumerate(matrix.classes):
        total = int(matrix.totals[row])
        if total:
            wrong = matrix.counts[row].copy()
            correct, wrong[row] = int(wrong[row]), 0
            worst = int(wrong.argmax())
            mistaken = int(matrix.classes[worst]) if wrong[worst] else None
            found.append(ClassAccuracy(int(cls), correct, total, mistaken, int(wrong[worst])))
    return sorted(found, key=lambda entry: (entry.share, -entry.total))


def hardest_pairs(run: Run, matrix: Confusion | None) -> list[Pair]:
    """The most frequent confusions, and any other that a clip was kept of; most frequent first."""
    clips: dict[tuple[int, int], list[int]] = {}
    if run.hardest is not None:
        for place, pair in enumerate(zip(run.hardest.label.tolist(), run.hardest.pred.tolist())):
            clips.setdefault(pair, []).append(place)
    if matrix is None:
        return [Pair(true, pred, None, 0, places) for (true, pred), places in clips.items()]
    wrong = matrix.counts.copy()
    np.fill_diagonal(wrong, 0)
    found = []
    for true, pred in np.argwhere(wrong):
        pair = int(matrix.classes[true]), int(matrix.classes[pred])
        found.append(Pair(*pair, int(wrong[true, pred]), int(matrix.totals[true]), clips.pop(pair, [])))
    found.sort(key=lambda pair: (-pair.count, -pair.count / pair.total))
    kept = found[:PAIRS] + [pair for pair in found[PAIRS:] if pair.clips]
    return kept + [Pair(true, pred, None, 0, places) for (true, pred), places in clips.items()]


def training_seconds(run: Run) -> float | None:
    """Time of all epochs and their evaluations, interruptions left out."""
    events = [*run.epochs.values(), *(event for split in run.evals.values() for event in split.values())]
    told = [value for event in events if (value := number(event.get("seconds"))) is not None]
    return number(sum(told)) if told else None


def training_energy(run: Run) -> float | None:
    """Joules of all epochs; None where one does not tell."""
    told = [number(event.get("energy_joules")) for event in run.epochs.values()]
    return number(sum(value for value in told if value is not None)) if told and None not in told else None


def peak(run: Run, key: str) -> float | None:
    values = [number(event.get(key)) for event in [*run.epochs.values(), *run.after]]
    return max((value for value in values if value is not None), default=None)


def throughput(run: Run) -> float | None:
    """Median training samples per second over the epochs."""
    values = [number(event.get("samples_per_second")) for event in run.epochs.values()]
    values = [value for value in values if value is not None]
    return float(np.median(values)) if values else None
