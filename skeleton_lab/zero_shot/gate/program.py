"""Stages 3 and 4: ``gating_train.py`` and ``gating_eval.py`` of both rooms."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import class_splits
from skeleton_lab.errors import ArchiveError, LabError, UsageError, guarded
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.zero_shot.align import baselines, seeds
from skeleton_lab.zero_shot.align.settings import (
    METRICS,
    check_writable,
    load_json,
    results_folder,
    save_json,
    stage_one,
)
from skeleton_lab.zero_shot.features import feature_folder
from skeleton_lab.zero_shot.flags import common, say
from skeleton_lab.zero_shot.gate import gate

GATE = "gating_model.pkl"
TRAIN_METRICS, EVAL_METRICS = "gating_train.json", "gating_eval.json"
DETAILS = "gating.npz"
NEEDED = ("ss", "dataset", "wdir", "le", "tm")


def gating_train(argv: Sequence[str] | None = None) -> int:
    """``gating_train.py``: fit the gate on the validation split."""
    parser = common("Train the gate between seen and unseen classes.", needed=NEEDED)
    parser.add_argument("--th", type=int, default=0, help="threshold in percent; 0: search 25..74 (default)")
    parser.add_argument("--t", type=int, default=0, help="temperature; 0: search 1..9 (default)")
    seeds.add_flag(parser)
    return guarded(lambda: _all_seeds(parser.parse_args(argv), _train))


def _all_seeds(flags: argparse.Namespace, program: Callable[[argparse.Namespace], int]) -> int:
    """One run, or one per seed."""
    return program(flags) if flags.seeds is None else seeds.each(flags, program, say)


def _train(flags: argparse.Namespace) -> int:
    if not 0 <= flags.th <= 100:
        raise UsageError(f"--th is a threshold in percent, 1 to 100, or 0 to search; not {flags.th}")
    if flags.t < 0:
        raise UsageError(f"--t must be a temperature above 0, or 0 to search; not {flags.t}")
    folder = results_folder(flags.wdir, flags.le, flags.tm)
    unseen_zs, seen_zs = (_scores(folder, flags.ss, name) for name in ("unseen", "seen"))
    ztest_out, val_out = (
        feature_folder.numbers(flags.dataset, name, columns=flags.ntu) for name in ("ztest_out", "val_out")
    )
    for (zs, name), (out, other) in (
        ((unseen_zs, "unseen_zs"), (ztest_out, "ztest_out")),
        ((seen_zs, "seen_zs"), (val_out, "val_out")),
    ):
        feature_folder.same_rows(zs, f"MSF_{flags.ss}_r_{name}.npy in {folder}", out, flags.dataset / f"{other}.npy")
    _same_sequences(folder, flags.dataset, ("ztest", "val"), flags.ntu)
    if ztest_out.shape[1] != val_out.shape[1]:
        raise ArchiveError(f"{flags.dataset}: ztest_out has {ztest_out.shape[1]} columns, val_out {val_out.shape[1]}")
    chosen = gate.train(
        unseen_zs, seen_zs, ztest_out, val_out,
        [flags.th] if flags.th else gate.THRESHOLDS, [flags.t] if flags.t else gate.TEMPERATURES,
    )  # fmt: skip
    target = check_writable(results_folder(stage_one(flags.wdir), flags.le, flags.tm))
    gate.save(target / GATE, chosen.gate)
    threshold, temperature = chosen.gate.threshold, chosen.gate.temperature
    save_json(target / TRAIN_METRICS, {
        "program": "gating_train", "accuracy": chosen.accuracy, "threshold": threshold, "temperature": temperature,
        "coef": chosen.gate.coef.tolist(), "intercept": chosen.gate.intercept,
        "validation_unseen_samples": len(unseen_zs), "validation_seen_samples": len(seen_zs),
    })  # fmt: skip
    print(f"best validation accuracy for the gating model {chosen.accuracy}")
    print(f"best threshold {threshold}")
    print(f"best temperature {temperature}")
    return 0


def gating_eval(argv: Sequence[str] | None = None) -> int:
    """``gating_eval.py``: the generalized test."""
    parser = common("Test on seen and unseen classes, with the gate.", needed=(*NEEDED, "ntu"))
    parser.add_argument("--temp", type=int, help="temperature (default: the gate's)")
    parser.add_argument("--thresh", type=float, help="called seen if P(seen) is above this (default: the gate's)")
    parser.add_argument("--consistent-threshold", action="store_true",
                        help="read the threshold as gating_train.py does: unseen if P(unseen) is above it")  # fmt: skip
    parser.add_argument("--text_feats", type=Path, default=Path("text_feats"),
                        help="folder of text features, for the baselines (default: %(default)s)")  # fmt: skip
    seeds.add_flag(parser)

    def program() -> int:
        flags = parser.parse_args(argv)
        code = _all_seeds(flags, _evaluate)
        if flags.seeds is not None and code == 0:
            print(seeds.table(seeds.summarise(flags.wdir, flags.le, flags.tm, flags.seeds)), flush=True)
        return code

    return guarded(program)


def _evaluate(flags: argparse.Namespace) -> int:
    split = class_splits.load(flags.st, flags.ss, flags.ntu, flags.phase, flags.label_splits)
    folder = results_folder(flags.wdir, flags.le, flags.tm)
    zero_shot = _scores(folder, flags.ss, "gzsl")
    logits = feature_folder.numbers(flags.dataset, "gtest_out", columns=flags.ntu)
    labels = feature_folder.labels(flags.dataset, "g_label", flags.ntu)
    feature_folder.same_rows(
        zero_shot, f"MSF_{flags.ss}_r_gzsl_zs.npy in {folder}", logits, flags.dataset / "gtest_out.npy"
    )
    feature_folder.same_rows(logits, flags.dataset / "gtest_out.npy", labels, flags.dataset / "g_label.npy")
    _same_sequences(folder, flags.dataset, ("gtest",), flags.ntu)
    found = gate.load(folder / GATE, flags.ss)
    temperature = _given("temp", flags.temp, found.temperature)
    threshold = _given("thresh", flags.thresh, found.threshold)

    def is_seen(p_seen: np.ndarray) -> np.ndarray:
        return 1 - p_seen <= threshold if flags.consistent_threshold else p_seen > threshold

    told = gate.evaluate(found, zero_shot, logits, labels, split.seen, split.unseen, temperature, is_seen)
    compared = _compared(flags, split, told, labels)
    _save(folder, flags, told, labels, split, temperature, threshold, compared)
    print(f"seen_accuracy: {100 * told.seen_accuracy:.2f}%")
    print(f"unseen_accuracy: {100 * told.unseen_accuracy:.2f}% ")
    print(f"h_mean: {100 * told.h_mean:.2f}%")
    for name, row in compared.items():
        figures = ", ".join(f"{key} {seeds.written(row[key], None, 2)}%" for key in seeds.GATED)
        say(f"{baselines.NAMES[name]} behind the same gate: {figures}")
    return 0


def _compared(
    flags: argparse.Namespace, split: class_splits.Split, told: gate.Outcome, labels: np.ndarray
) -> dict[str, Any]:
    """The baselines' rows, where features and texts are at hand; without them the test is the published one."""
    try:
        features = feature_folder.read(flags.dataset, "train", split, allow_leak=True)
        table = feature_folder.class_table(flags.tm, flags.le, flags.ntu, flags.text_feats)
        feature_folder.same_rows(
            labels, flags.dataset / "g_label.npy", features.second.labels, flags.dataset / "gtest.npy"
        )
        found = baselines.compute(flags.dataset, features, table, split)
    except LabError as error:
        say(f"without the baselines ConSE and ridge: {error}")
        return {}
    return {
        name: {
            "zsl_accuracy": made.accuracy(features),
            **baselines.generalised(made, labels, split, told.to_seen, told.seen_answer), **made.made,
        }
        for name, made in found.items()
    }  # fmt: skip


def _given(flag: str, value: float | None, own: float | None) -> float:
    """A flag, or what the gate was trained with."""
    value = own if value is None else value
    if value is None:
        raise UsageError(f"--{flag} is needed: this gate does not tell with which value it was trained")
    if flag == "temp" and not value > 0:
        raise UsageError(f"--temp must be above 0, not {value}")
    return value


def _scores(folder: Path, unseen: int, which: str) -> np.ndarray:
    """``MSF_<S>_r_<which>_zs.npy`` (N, S) of a run."""
    stage = "1 (train.py --phase train)" if which == "gzsl" else "2 (train.py --phase val)"
    if not (folder / f"MSF_{unseen}_r_{which}_zs.npy").is_file():
        raise UsageError(
            f"--wdir: there is no MSF_{unseen}_r_{which}_zs.npy in {folder}; stage {stage} writes it: run that first, "
            "with the same --wdir, --le and --tm"
        )
    return feature_folder.numbers(folder, f"MSF_{unseen}_r_{which}_zs", columns=unseen, flag="--wdir")


def _same_sequences(folder: Path, dataset: Path, names: Sequence[str], num_class: int | None) -> None:
    """Where ``train.json`` tells of which sequences the scores are, rows are joined with these only.

    Raises:
        ArchiveError: the folder of features holds others now, though as many.
    """
    told = load_json(folder / METRICS).get("sequences") if (folder / METRICS).is_file() else None
    for name in names if isinstance(told, dict) and num_class else ():
        if name not in told or not all(
            (dataset / f"{one}.npy").is_file() for one in (name, feature_folder.LABELS[name])
        ):
            continue
        if feature_folder.checksum(feature_folder.part(dataset, name, num_class)) != told[name]:
            raise ArchiveError(
                f"{dataset / name}.npy: the scores in {folder} are of other sequences or features; give the --dataset "
                "that train.py was given, or run train.py again"
            )


def _save(
    folder: Path, flags: argparse.Namespace, told: gate.Outcome, labels: np.ndarray, split: class_splits.Split,
    temperature: float, threshold: float, compared: dict[str, Any],
) -> None:  # fmt: skip
    figures = {"seen_accuracy": told.seen_accuracy, "unseen_accuracy": told.unseen_accuracy, "h_mean": told.h_mean}
    trained = load_json(folder / METRICS) if (folder / METRICS).is_file() else {}
    save_json(folder / EVAL_METRICS, {
        "program": "gating_eval", "threshold": threshold, "temperature": temperature,
        "consistent_threshold": flags.consistent_threshold, "samples": len(labels),
        **{key: None if math.isnan(value) else value for key, value in figures.items()},
        **{key: trained.get(key) for key in ("select", "selected_on", "selected_cycle")}, "baselines": compared,
    })  # fmt: skip
    content = {
        "labels": labels, "seen": split.seen, "unseen": split.unseen, "p_seen": told.p_seen,
        "seen_answer": told.seen_answer, "unseen_answer": told.unseen_answer, "to_seen": told.to_seen,
    }  # fmt: skip
    write_atomically(folder / DETAILS, lambda file: np.savez_compressed(file, **content))
