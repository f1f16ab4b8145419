"""Ensembles: the scores of several streams (joint, bone, motion ...) of one test set, added with weights.

A stream is a work dir in which a run left ``epoch1_test_score.pkl`` (ST-GCN: ``test_result.pkl``), a dict from sample
name to logits (K,).  The weights are fixed beforehand; weights that are searched for on the very labels they are judged
by (``--fit``, and FreqMixFormer's published search) are reported apart, because they flatter.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archive import open_archive
from skeleton_lab.data.labels import class_ids
from skeleton_lab.data.locate import locate
from skeleton_lab.data.npy import parsing
from skeleton_lab.data.pickles import load
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, ArchiveNotFoundError, UsageError, guarded
from skeleton_lab.flags import Parser
from skeleton_lab.fusion import FITTED, accuracy, combine, fit, optimiser, search

SCORES, SCORES_OF_STGCN = "epoch1_test_score.pkl", "test_result.pkl"

# What CTR-GCN's published ensemble gives each stream; two streams weigh 1 and alpha.
STREAM_WEIGHTS = {"joint": 0.6, "bone": 0.6, "joint-motion": 0.4, "bone-motion": 0.4}

# Where the programs of CTR-GCN's family have the test labels of each data set.
LABELS = {
    "ntu/xsub": "data/ntu/NTU60_CS.npz",
    "ntu/xview": "data/ntu/NTU60_CV.npz",
    "ntu120/xsub": "data/ntu120/NTU120_CSub.npz",
    "ntu120/xset": "data/ntu120/NTU120_CSet.npz",
    "NW-UCLA": "data/NW-UCLA/val_label.pkl",
}


@dataclass(frozen=True)
class Recipe:
    """What a room's ensemble program knows.

    Attributes:
        labels: data set -> the file that has its test labels, seen from the room's folder.
        streams: each has a flag ``--STREAM-dir``.
        tables: model -> data set -> weights of all the streams together, where they are not STREAM_WEIGHTS; the
            models are the choices of a flag ``--model``, the first one is its default.
        searched: the weights are searched for; fixed ones are all 1.
        digits: decimals of the two accuracy lines.
    """

    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)
    streams: Sequence[str] = tuple(STREAM_WEIGHTS)
    tables: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    searched: bool = False
    digits: int = 4

    def weights(self, streams: Sequence[str], dataset: str, alpha: float = 1.0, model: str = "") -> list[float]:
        """One fixed weight per stream."""
        if self.searched:
            return [1.0] * len(streams)
        if len(streams) == 2:
            return [1.0, alpha]
        table = self.tables.get(model, {}).get(dataset)
        if table and tuple(streams) == tuple(self.streams):
            return list(table)
        return [STREAM_WEIGHTS[stream] for stream in streams]


@dataclass(frozen=True)
class Scores:
    """One stream: names of the samples, in the order of the file, and their logits (N, K) float32."""

    path: Path
    names: list[Any]
    logits: np.ndarray


def read_scores(place: str | Path) -> Scores:
    """Read the score file of a folder, or the score file itself.

    Raises:
        ArchiveNotFoundError: there is none.
        ArchiveError: it is not a dict of equally long vectors of finite numbers.
    """
    path = Path(place)
    if path.is_dir():
        path /= SCORES if (path / SCORES).exists() or not (path / SCORES_OF_STGCN).exists() else SCORES_OF_STGCN
    if not path.is_file():
        raise ArchiveNotFoundError(
            f"no score file {path}; a test with --save-score true writes it (ST-GCN: --save_result true), and so does "
            "the end of a training of CTR-GCN's family"
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


def read_labels(path: Path, names: Sequence[Any], layout: str | None = None) -> np.ndarray:
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
        labels = open_archive(path, "test", layout=layout).labels
    ids = class_ids(np.asarray(labels), where)[0]
    place = {str(name): i for i, name in enumerate(have if have is not None else ())}
    wanted = [str(name) for name in names]
    if len(place) == len(ids) and place.keys() == set(wanted):
        return ids[[place[name] for name in wanted]]
    return ids


def find_labels(options: argparse.Namespace, recipe: Recipe, room: Path, first: Scores) -> tuple[np.ndarray, Path]:
    """Labels (N,) of the samples of ``first``, and the file they are from."""
    path = labels_path(options, room / recipe.labels[options.dataset], first.path.with_name("evaluation.npz"), room)
    labels = read_labels(path, first.names, options.layout)
    n, k = first.logits.shape
    if len(labels) != n:
        own = first.path.with_name("evaluation.npz")
        hint = f"; --labels {own} has the run's own" if own.exists() else ""
        raise ArchiveError(f"{path} has {len(labels)} test labels, but {first.path} has scores of {n} samples{hint}")
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


def parse(recipe: Recipe, argv: Sequence[str] | None) -> tuple[argparse.Namespace, dict[str, str]]:
    """The flags, and stream -> folder in the order of the recipe, further ones last."""
    how = f"weights that are {FITTED}" if recipe.searched else "fixed weights"
    parser = Parser(description=f"Accuracy of several streams' scores, added with {how}.")
    parser.add_argument("--dataset", required=True, choices=list(recipe.labels), help="whose labels")
    if recipe.tables:
        models = list(recipe.tables)
        parser.add_argument("--model", choices=models, default=models[0], help="whose weights (default: %(default)s)")
    for stream in recipe.streams:
        parser.add_argument(f"--{stream}-dir", metavar="DIR", help=f"work dir of the {stream} stream (has {SCORES})")
    parser.add_argument("--extra-dir", nargs="+", default=[], metavar="DIR", help="work dirs of further streams")
    parser.add_argument("--alpha", type=float, help="weight of the second of two streams (default: 1)")
    parser.add_argument("--weights", nargs="+", type=float, metavar="W", help="one per stream, in the order above")
    parser.add_argument("--labels", metavar="FILE", help="test labels: evaluation.npz, a label pickle or an archive")
    parser.add_argument("--layout", help="of that archive, where its content does not tell: pyskl:xsub ...")
    instead = "search on a grid instead" if recipe.searched else "search weights as well"
    parser.add_argument("--fit", action="store_true", help=f"{instead}; they are {FITTED}")
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
    if not options.extra_dir or recipe.searched:
        alpha = 1.0 if options.alpha is None else options.alpha
        return recipe.weights(streams, options.dataset, alpha, getattr(options, "model", ""))
    if options.fit:
        return None
    raise UsageError(
        f"--extra-dir has no published weight: give --weights, one each for {', '.join(streams)}, or --fit"
    )


def named(streams: Sequence[str], weights: Sequence[float]) -> str:
    return ", ".join(f"{stream} {weight:g}" for stream, weight in zip(streams, weights))


def fitted_weights(scores: np.ndarray, labels: np.ndarray, grid: bool) -> list[float]:
    """Weights searched for on ``labels``, on a grid or with the lines of FreqMixFormer's published program."""
    if grid:
        return fit(scores, labels)
    print(f"{FITTED}: the search below takes the test labels that it is judged by; accuracy of each evaluation:")
    weights = search(scores, labels)
    print(f"Maximum accuracy: {100 * accuracy(combine(scores, weights), labels)[0]:.4f}%")
    print(f"Optimal weights: {weights}")
    return weights


def ensemble(recipe: Recipe, room: Path, argv: Sequence[str] | None = None) -> int:
    """What a room's ``ensemble.py`` does; its lines go to stdout."""
    options, folders = parse(recipe, argv)
    if len(folders) < 2:
        flags = ", ".join(f"--{stream}-dir" for stream in recipe.streams)
        raise UsageError(f"an ensemble needs two streams or more: give two of {flags}, --extra-dir")
    streams = list(folders)
    weights = choose_weights(options, recipe, streams)
    searching = recipe.searched and not (options.weights or options.fit)
    if searching:
        optimiser()  # that it is missing is said before anything is read
    files = [read_scores(folder) for folder in folders.values()]
    scores, notices = stack(files)
    labels, source = find_labels(options, recipe, room, files[0])
    if options.alpha is not None and (options.weights or recipe.searched or len(streams) != 2):
        notices.append("--alpha has no effect: it is the weight of the second of two streams with fixed weights")
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
        print(f"weights: {named(streams, weights)}")
        print(f"Top1 Acc: {100 * top1:.{recipe.digits}f}%")
        print(f"Top5 Acc: {100 * top5:.{recipe.digits}f}%")
    if options.fit or searching:
        fitted = fitted_weights(scores, labels, grid=options.fit)
        top1, top5 = accuracy(combine(scores, fitted), labels)
        result["fitted"] = {"note": FITTED, "weights": dict(zip(streams, fitted)), "top1": top1, "top5": top5}
        print(f"{FITTED}: weights {named(streams, fitted)}")
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
