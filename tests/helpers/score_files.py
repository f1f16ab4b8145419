"""Score files of four streams, and the published loop over them."""

from __future__ import annotations

import pickle
import runpy

import numpy as np
from places import ROOT

N, K = 60, 10
STREAMS = ("joint", "bone", "joint-motion", "bone-motion")


def recipe(room):
    return runpy.run_path(str(ROOT / room / "ensemble.py"))["RECIPE"]


def write(folder, scores, name="epoch1_test_score.pkl"):
    (folder / name).write_bytes(pickle.dumps(scores))


def published(scores, labels, weights):
    """The loop of the published ensemble.py: percentages of top-1 and top-5."""
    right = right5 = 0
    rows = [list(stream.items()) for stream in scores]
    for i, label in enumerate(labels):
        r = sum(stream[i][1] * weight for stream, weight in zip(rows, weights))
        right5 += int(int(label) in r.argsort()[-5:])
        right += int(np.argmax(r) == int(label))
    return 100 * right / len(labels), 100 * right5 / len(labels)


def clip(i):
    return f"S{i // 10 + 1:03}C001P003R001A{i % 10 + 1:03}"


def rename(lab, stream, name, order=None, evaluation=True):
    """Give the samples of a stream other names and another order, and say so in its evaluation.npz."""
    order = np.arange(N) if order is None else order
    rows = list(lab.scores[stream].values())
    write(lab.folder / stream, {name(int(i)): rows[i] for i in order})
    if evaluation:
        names = np.array([str(name(int(i))) for i in order])
        np.savez(lab.folder / stream / "evaluation.npz", labels=lab.labels[order], names=names)
