"""Files of one evaluation: scores, per-class accuracy, right and wrong clips, material for the report."""

from __future__ import annotations

import csv
import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders.base import Batch, ctvm
from skeleton_lab.engine.dataloader import Seeded, collate
from skeleton_lab.utils.atomic import write_atomically

HARDEST = 12  # clips that hardest.npz holds
PER_PAIR = 2  # of one confused pair of classes


def sample_names(feeder: Dataset, count: int) -> list[Any]:
    """Names of samples 0..count-1; a feeder that repeats its clips repeats their names."""
    names = getattr(feeder, "sample_name", None)
    if names is None or len(names) == 0:
        return [f"test_{i}" for i in range(count)]
    return [names[i % len(names)] for i in range(count)]


def write_scores(path: Path, names: Sequence[Any], logits: np.ndarray) -> int:
    """Pickled dict, sample name -> float32 vector of K raw logits, in data order.

    Returns:
        How many samples it lacks, because a later one has the same name.
    """
    names = [name.item() if isinstance(name, np.generic) else name for name in names]
    scores = {name: row.copy() for name, row in zip(names, logits)}
    write_atomically(path, lambda file: pickle.dump(scores, file))
    return len(names) - len(scores)


def write_class_accuracy(path: Path, confusion: np.ndarray) -> None:
    """First row: accuracy of each class (``nan`` without samples); then the confusion matrix."""
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = np.diag(confusion) / confusion.sum(axis=1)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(accuracy.tolist())
    writer.writerows(confusion.tolist())
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def write_right_wrong(folder: Path, pattern: str, stem: str, labels: np.ndarray, predicted: np.ndarray) -> None:
    """``pred,true`` for every sample (so published), and ``index,pred,true`` for every error."""
    right = "".join(f"{p},{t}\n" for p, t in zip(predicted, labels))
    wrong = "".join(f"{i},{predicted[i]},{labels[i]}\n" for i in np.flatnonzero(predicted != labels))
    for word, text in (("right", right), ("wrong", wrong)):
        path = folder / pattern.format(stem=stem, word=word)
        write_atomically(path, lambda file, text=text: file.write(text.encode()))


def write_evaluation(work_dir: Path, feeder: Dataset, logits: np.ndarray, labels: np.ndarray, epoch: int) -> None:
    """evaluation.npz and hardest.npz, from which the report is made; ``epoch`` of the weights, 0 if not known."""
    names = sample_names(feeder, len(labels))
    text_names = np.array([str(name) for name in names])
    index = np.arange(len(labels))
    write_atomically(
        work_dir / "evaluation.npz",
        lambda file: np.savez_compressed(
            file, logits=logits, labels=labels, index=index, names=text_names, epoch=np.int64(epoch),
            **_classes(feeder), **_of_clips(feeder, len(labels)),
        ),
    )  # fmt: skip
    hard = hardest(logits, labels)
    if not len(hard):
        (work_dir / "hardest.npz").unlink(missing_ok=True)
        return
    dataset = feeder if hasattr(feeder, "__getitems__") else Seeded(feeder, 0)
    data = collate(dataset.__getitems__(Batch(hard.tolist())))[0]
    data = np.asarray(data[0] if isinstance(data, (tuple, list)) else data)  # of several inputs the first is shown
    data = ctvm(data, getattr(feeder, "axes", "CTVM"))
    edges = np.array(list(getattr(feeder, "edges", ())), dtype=np.int64).reshape(-1, 2)
    write_atomically(
        work_dir / "hardest.npz",
        lambda file: np.savez_compressed(
            file, data=data, label=labels[hard], pred=logits[hard].argmax(1), name=text_names[hard], index=hard,
            edges=edges, **_axes(feeder),
        ),
    )  # fmt: skip


def _classes(feeder: Dataset) -> dict[str, np.ndarray]:
    """The names of the classes, where the archive of the clips tells them."""
    names = getattr(getattr(feeder, "clips", None), "class_names", None)
    return {} if names is None else {"class_names": np.array(names, str)}


def _of_clips(feeder: Dataset, count: int) -> dict[str, np.ndarray]:
    """Recorded frames (N,) of samples 0..count-1, and who is seen (N,) where the archive tells."""
    clips = getattr(feeder, "clips", None)
    if not isinstance(clips, Clips) or not len(clips):
        return {}
    rows = np.arange(count) % len(clips)  # a feeder may repeat its clips
    told = {"frames": clips.lengths(np.arange(len(clips)))[1][rows]}
    if clips.subjects is not None:
        names = clips.subject_names
        told["subjects"] = clips.subjects[rows] if names is None else np.array(names, str)[clips.subjects[rows]]
    return told


def _axes(feeder: Dataset) -> dict[str, np.ndarray]:
    """Whether the clips are flat and which axis points up, where their archive tells the skeleton."""
    clips = getattr(feeder, "clips", None)
    skeleton = getattr(clips, "skeleton", None)
    if skeleton is None:
        return {}
    stored = "y" if skeleton.y_up or getattr(feeder, "placed", False) else "-y"
    up = getattr(feeder, "up", None) or stored
    return {"flat": np.array(clips.scored or clips.C == 2), "up": np.array(up)}


def hardest(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Indices of up to ``HARDEST`` wrong clips: the most confused pairs first, the most certain errors of each."""
    predicted = logits.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    margin = logits[wrong, predicted[wrong]] - logits[wrong, labels[wrong]]
    pairs: dict[tuple[int, int], list[int]] = {}
    for i in wrong[np.argsort(-margin, kind="stable")]:
        pairs.setdefault((int(labels[i]), int(predicted[i])), []).append(int(i))
    by_count = sorted(pairs.values(), key=len, reverse=True)
    chosen = [i for clips in by_count for i in clips[:PER_PAIR]][:HARDEST]
    return np.array(chosen, dtype=np.int64)
