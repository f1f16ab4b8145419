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

from skeleton_lab.data.archives import sample_names
from skeleton_lab.data.archives.locate import locate
from skeleton_lab.ensemble.fusion import FITTED, accuracy, combine, fit, optimiser, probabilities, search
from skeleton_lab.ensemble.score_files import SCORES, Scores, own_labels, read_labels, read_scores, stack
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, UsageError, guarded
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.statistics import mean_class_accuracy

LARGEST = 1e6  # weight of a stream
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
        layouts: data set -> layout of that file, where it holds several divisions.
        stream_weights: of each stream, where there are three or more.
        probabilities: they are added up, not logits; mean_class: the mean class accuracy is told too.
        tables: model -> data set -> weights of all the streams together, where they are not ``stream_weights``; the
            models are the choices of a flag ``--model``, the first one is its default.
        searched: the weights are searched for; fixed ones are all 1.
        digits: decimals of the two accuracy lines.
    """

    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)
    layouts: Mapping[str, str] = field(default_factory=dict)
    streams: Sequence[str] = tuple(STREAM_WEIGHTS)
    stream_weights: Mapping[str, float] = field(default_factory=lambda: STREAM_WEIGHTS)
    probabilities: bool = False
    mean_class: bool = False
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
        return [self.stream_weights[stream] for stream in streams]


def find_labels(options: argparse.Namespace, recipe: Recipe, room: Path, first: Scores) -> tuple[np.ndarray, Path]:
    """Labels (N,) of the samples of ``first``, and the file they are from.

    Raises:
        ArchiveError: they are of other samples, as far as counts, classes, names and the run's own labels tell.
    """
    own = first.path.with_name("evaluation.npz")
    usual = room / recipe.labels[options.dataset]
    path = labels_path(options, usual, own, room)
    told = recipe.layouts.get(options.dataset) if path == usual else None
    labels = read_labels(path, first.names, options.layout or told)
    n, k = first.logits.shape
    hint = f"; --labels {own} has the run's own" if own.exists() else ""
    if len(labels) != n:
        raise ArchiveError(f"{path} has {len(labels)} test labels, but {first.path} has scores of {n} samples{hint}")
    if labels.max() >= k:
        raise ArchiveError(f"{path} has class {labels.max()}, but {first.path} has scores of {k} classes")
    told = own_labels(first)
    if told is not None and (told != labels).any():
        row = int((told != labels).argmax())
        raise ArchiveError(
            f"{path}: row {row} is class {labels[row]}, but {own} says class {told[row]} "
            f"({int((told != labels).sum())} of {n} differ): not the labels of these scores, or in another order{hint}"
        )
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


def check_weights(options: argparse.Namespace) -> None:
    """UsageError for weights with which every sample would be class 0: NaN, infinite, or all zero."""
    for flag, values in (
        ("--alpha", [1.0 if options.alpha is None else options.alpha]),
        ("--weights", options.weights),
    ):
        if values and not all(abs(value) <= LARGEST for value in values):  # NaN is not either
            raise UsageError(f"{flag}: weights are numbers from {-LARGEST:g} to {LARGEST:g}")
    if options.weights and not any(options.weights):
        raise UsageError("--weights: all are 0, so nothing is added up")


def choose_weights(options: argparse.Namespace, recipe: Recipe, streams: list[str]) -> list[float] | None:
    """The fixed weights: given, or the recipe's; None if only fitted ones can be had."""
    check_weights(options)
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
    scores = probabilities(scores) if recipe.probabilities else scores
    if options.alpha is not None and (options.weights or recipe.searched or len(streams) != 2):
        notices.append("--alpha has no effect: it is the weight of the second of two streams with fixed weights")
    for notice in notices:
        print(f"notice: {notice}")
    order = " in the order of their row numbers" if sample_names.numbered(files[0].names) else ""
    print(f"{len(labels)} samples{order}, labels of {source}")

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
        if recipe.mean_class:
            mean = mean_class_accuracy(labels, combine(scores, weights).argmax(1))
            result["ensemble"]["mean_class"] = mean
            print(f"Mean class Acc: {100 * mean:.{recipe.digits}f}%")
    if options.fit or searching:
        fitted = fitted_weights(scores, labels, grid=options.fit)
        top1, top5 = accuracy(combine(scores, fitted), labels)
        result["fitted"] = {"note": FITTED, "weights": dict(zip(streams, fitted)), "top1": top1, "top5": top5}
        print(f"{FITTED}: weights {named(streams, fitted)}")
        print(f"{FITTED}: top-1 {top1:.2%}, top-5 {top5:.2%}")
    if options.json:
        if not Path(options.json).absolute().parent.is_dir():
            raise UsageError(f"--json {options.json}: cannot be written (there is no such folder)")
        try:
            text = json.dumps(result, indent=2) + "\n"
            write_atomically(Path(options.json), lambda file: file.write(text.encode()))
        except OSError as error:
            raise UsageError(f"--json {options.json}: cannot be written ({error.strerror})") from error
    return 0


def main(recipe: Recipe, main_file: str, argv: Sequence[str] | None = None) -> int:
    """Run the program of the room that ``main_file`` lies in; returns the exit code."""
    return guarded(lambda: ensemble(recipe, Path(main_file).resolve().parent, argv))
