"""Ensembles: the scores of several streams (joint, bone, motion ...) of one test set, added with weights.

A stream is a work dir in which a run left ``epoch1_test_score.pkl``, a dict from sample name to logits (K,).  The
weights are fixed beforehand; weights that are searched for on the very labels they are judged by (``--fit``) are
reported apart, because they flatter.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archive import open_archive
from skeleton_lab.data.labels import class_ids
from skeleton_lab.data.locate import locate
from skeleton_lab.data.npy import parsing
from skeleton_lab.data.pickles import load
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, ArchiveNotFoundError, UsageError, guarded

SCORES = "epoch1_test_score.pkl"
FITTED = "fitted on test (optimistic)"
GRID = np.arange(0.2, 1.2001, 0.05)  # the weights that a fit tries

# What published ensembles give each stream; two streams weigh 1 and alpha.
STREAM_WEIGHTS = {"joint": 0.6, "bone": 0.6, "joint-motion": 0.4, "bone-motion": 0.4}


def usual_weights(streams: Sequence[str], dataset: str, alpha: float) -> list[float]:
    """Weights of the published CTR-GCN ensembles, whatever the data set: 1 and alpha, or those of STREAM_WEIGHTS."""
    if len(streams) == 2:
        return [1.0, alpha]
    return [STREAM_WEIGHTS[stream] for stream in streams]


@dataclass(frozen=True)
class Recipe:
    """What a room's ensemble program knows.

    Attributes:
        labels: data set -> the file that has its test labels, seen from the room's folder.
        streams: each has a flag ``--STREAM-dir``.
        weights: (streams given, data set, alpha) -> one weight per stream.
        digits: decimals of the two accuracy lines.
    """

    labels: Mapping[str, str]
    streams: Sequence[str] = tuple(STREAM_WEIGHTS)
    weights: Callable[[Sequence[str], str, float], Sequence[float]] = usual_weights
    digits: int = 4


@dataclass(frozen=True)
class Scores:
    """One stream: names of the samples, in the order of the file, and their logits (N, K) float32."""

    path: Path
    names: list[Any]
    logits: np.ndarray


def read_scores(place: str | Path) -> Scores:
    """Read ``epoch1_test_score.pkl`` of a folder, or the score file itself.

    Raises:
        ArchiveNotFoundError: there is none.
        ArchiveError: it is not a dict of equally long vectors of finite numbers.
    """
    path = Path(place)
    if path.is_dir():
        path /= SCORES
    if not path.is_file():
        raise ArchiveNotFoundError(
            f"no score file {path}; a training writes it at its end, a test with --save-score true"
        )
    content = load(path)
    if not isinstance(content, dict) or not content:
        raise ArchiveError(f"{path} is not a dict from sample name to scores")
    try:
        logits = np.stack([np.asarray(row, dtype=np.float32) for row in content.values()])
    except (TypeError, ValueError) as error:
        raise ArchiveError(f"{path}: the samples' scores are not equally long vectors of numbers") from error
    if logits.ndim != 2 or logits.shape[1] < 2 or not np.isfinite(logits).all():
        raise ArchiveError(
            f"{path}: scores of shape {logits.shape}; finite ones of shape (samples, classes) are expected"
        )
    return Scores(path, list(content), logits)


def stack(streams: Sequence[Scores]) -> tuple[np.ndarray, list[str]]:
    """Scores (S, N, K) in the order of the first stream, and notices.

    Samples are matched by name where a stream has the names of the first one, else by position.
    """
    first, notices, rows = streams[0], [], [streams[0].logits]
    for stream in streams[1:]:
        if stream.logits.shape != first.logits.shape:
            raise ArchiveError(
                f"{stream.path} has scores of shape {stream.logits.shape}, {first.path} of {first.logits.shape}: "
                "these are not streams of one test set"
            )
        place = {name: i for i, name in enumerate(stream.names)}
        if place.keys() == set(first.names):
            rows.append(stream.logits[[place[name] for name in first.names]])
        else:
            notices.append(f"{stream.path} names its samples unlike {first.path}: matched by position")
            rows.append(stream.logits)
    return np.stack(rows), notices


def read_labels(path: Path, names: Sequence[Any]) -> np.ndarray:
    """Test labels (N,) int64 of ``evaluation.npz``, of a label pickle, or of an archive in any layout.

    They come in the order of ``names`` if the file names its samples likewise, else in its own order.

    Raises:
        ArchiveError: the file is damaged, or has no labels of these kinds.
    """
    where, have = str(path), None
    if path.suffix == ".npz":
        with parsing(path), np.load(path, allow_pickle=False) as content:
            key = "labels" if "labels" in content.files else "y_test"
            if key not in content.files:
                raise ArchiveKeyError(f"{path} has neither 'labels' nor 'y_test'; it has {', '.join(content.files)}")
            where, labels = f"{path}: {key}", content[key]
            have = content["names"].tolist() if "names" in content.files else None
    elif path.suffix == ".pkl" and isinstance(content := load(path), (list, tuple)):
        with parsing(path):
            if isinstance(content[0], dict):  # a list of clips, as NW-UCLA's; labels from 1
                labels, have = [clip["label"] - 1 for clip in content], [clip.get("file_name") for clip in content]
            else:
                have, labels = content
    else:
        labels = open_archive(path, "test").labels
    ids = class_ids(np.asarray(labels), where)[0]
    place = {str(name): i for i, name in enumerate(have if have is not None else ())}
    wanted = [str(name) for name in names]
    if len(place) == len(ids) and place.keys() == set(wanted):
        return ids[[place[name] for name in wanted]]
    return ids


def find_labels(options: argparse.Namespace, recipe: Recipe, room: Path, first: Scores) -> tuple[np.ndarray, Path]:
    """Labels (N,) of the samples of ``first``, and the file they are from."""
    path = labels_path(options, room / recipe.labels[options.dataset], first.path.with_name("evaluation.npz"), room)
    labels = read_labels(path, first.names)
    n, k = first.logits.shape
    if len(labels) != n:
        raise ArchiveError(f"{path} has {len(labels)} test labels, but {first.path} has scores of {n} samples")
    if labels.max() >= k:
        raise ArchiveError(f"{path} has class {labels.max()}, but {first.path} has scores of {k} classes")
    return labels, path


def labels_path(options: argparse.Namespace, usual: Path, beside: Path, room: Path) -> Path:
    """``--labels``, else the data set's own label file, else the run's, else where the archive may lie instead."""
    if options.labels:
        return Path(options.labels)
    if usual.suffix == ".npz" and not usual.exists() and not beside.exists():
        return locate(str(usual), room)
    for path in (usual, beside, usual.parent / "all_sqe"):
        if path.exists():
            return path
    raise ArchiveNotFoundError(f"no labels: neither {usual} nor {beside} exists; give --labels FILE")


def combine(scores: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """(S, N, K) and S weights -> (N, K)."""
    return np.tensordot(np.asarray(weights, dtype=scores.dtype), scores, axes=1)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Top-1 (first maximum) and top-5 (among the last five of the ascending order), as fractions."""
    five = np.argsort(logits, axis=1, kind="stable")[:, -5:]
    return float((logits.argmax(1) == labels).mean()), float((five == labels[:, None]).any(1).mean())


def fit(scores: np.ndarray, labels: np.ndarray) -> list[float]:
    """Weights from GRID with the best top-1 on these labels: one stream after the other, until none of them gains.

    Deterministic.  Starts with 0.6 for every stream.
    """
    weights = [0.6] * len(scores)
    best, gained = accuracy(combine(scores, weights), labels)[0], True
    while gained:
        gained = False
        for s in range(len(scores)):
            others = combine(scores, [0.0 if i == s else w for i, w in enumerate(weights)])
            hits = [((others + w * scores[s]).argmax(1) == labels).mean() for w in GRID.astype(scores.dtype)]
            if max(hits) > best:
                best, gained = float(max(hits)), True
                weights[s] = round(float(GRID[int(np.argmax(hits))]), 2)
    return weights


def parse(recipe: Recipe, argv: Sequence[str] | None) -> tuple[argparse.Namespace, dict[str, str]]:
    """The flags, and stream -> folder in the order of the recipe, further ones last."""
    parser = argparse.ArgumentParser(description="Accuracy of several streams' scores, added with fixed weights.")
    parser.add_argument("--dataset", required=True, choices=list(recipe.labels), help="whose labels")
    for stream in recipe.streams:
        parser.add_argument(f"--{stream}-dir", metavar="DIR", help=f"work dir of the {stream} stream (has {SCORES})")
    parser.add_argument("--extra-dir", nargs="+", default=[], metavar="DIR", help="work dirs of further streams")
    parser.add_argument("--alpha", type=float, default=1.0, help="weight of the second of two streams (default: 1)")
    parser.add_argument("--weights", nargs="+", type=float, metavar="W", help="one per stream, in the order above")
    parser.add_argument("--labels", metavar="FILE", help="test labels: evaluation.npz, a label pickle or an archive")
    parser.add_argument("--fit", action="store_true", help=f"search weights as well; they are {FITTED}")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    options = parser.parse_args(argv)
    folders = {stream: getattr(options, f"{stream.replace('-', '_')}_dir") for stream in recipe.streams}
    folders = {stream: folder for stream, folder in folders.items() if folder}
    folders |= {f"extra{i}": folder for i, folder in enumerate(options.extra_dir, 1)}
    return options, folders


def choose_weights(options: argparse.Namespace, recipe: Recipe, streams: list[str]) -> list[float] | None:
    """The fixed weights: given, or the recipe's; None if only fitted ones can be had."""
    if options.weights:
        if len(options.weights) != len(streams):
            raise UsageError(
                f"--weights: {len(options.weights)} numbers for {len(streams)} streams, {', '.join(streams)}"
            )
        return options.weights
    if not options.extra_dir:
        return list(recipe.weights(streams, options.dataset, options.alpha))
    if options.fit:
        return None
    raise UsageError(
        f"--extra-dir has no published weight: give --weights, one each for {', '.join(streams)}, or --fit"
    )


def ensemble(recipe: Recipe, room: Path, argv: Sequence[str] | None = None) -> int:
    """What a room's ``ensemble.py`` does; its lines go to stdout."""
    options, folders = parse(recipe, argv)
    if len(folders) < 2:
        flags = ", ".join(f"--{stream}-dir" for stream in recipe.streams)
        raise UsageError(f"an ensemble needs two streams or more: give two of {flags}, --extra-dir")
    streams = list(folders)
    weights = choose_weights(options, recipe, streams)
    files = [read_scores(folder) for folder in folders.values()]
    scores, notices = stack(files)
    labels, source = find_labels(options, recipe, room, files[0])
    for notice in notices:
        print(f"notice: {notice}")
    print(f"{len(labels)} samples, labels of {source}")

    result: dict[str, Any] = {"dataset": options.dataset, "labels": str(source), "samples": len(labels), "streams": []}
    for stream, file, logits in zip(streams, files, scores):
        top1, top5 = accuracy(logits, labels)
        result["streams"].append({"stream": stream, "scores": str(file.path), "top1": top1, "top5": top5})
        print(f"{stream}: top-1 {top1:.2%}, top-5 {top5:.2%} ({file.path.parent})")
    if weights:
        top1, top5 = accuracy(combine(scores, weights), labels)
        result["ensemble"] = {"weights": dict(zip(streams, weights)), "top1": top1, "top5": top5}
        print(f"weights: {', '.join(f'{stream} {weight:g}' for stream, weight in zip(streams, weights))}")
        print(f"Top1 Acc: {100 * top1:.{recipe.digits}f}%")
        print(f"Top5 Acc: {100 * top5:.{recipe.digits}f}%")
    if options.fit:
        fitted = fit(scores, labels)
        top1, top5 = accuracy(combine(scores, fitted), labels)
        result["fitted"] = {"note": FITTED, "weights": dict(zip(streams, fitted)), "top1": top1, "top5": top5}
        print(f"{FITTED}: weights {', '.join(f'{stream} {weight:g}' for stream, weight in zip(streams, fitted))}")
        print(f"{FITTED}: top-1 {top1:.2%}, top-5 {top5:.2%}")
    if options.json:
        try:
            Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"--json {options.json}: cannot be written ({error.strerror})") from error
    return 0


def main(recipe: Recipe, main_file: str, argv: Sequence[str] | None = None) -> int:
    """Run the program of the room that ``main_file`` lies in; returns the exit code."""
    return guarded(lambda: ensemble(recipe, Path(main_file).resolve().parent, argv))
