"""``skeleton-lab calibrate ROOM --weights W``: how sure a network may be, and how it tells what it does not know."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab import registry
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils import trust, unknown
from skeleton_lab.utils.cli import Parser

BARS = 40  # of a histogram of scores


def _parser() -> Parser:
    parser = Parser(
        description="The temperature of a trained network, found on training subjects that its training held out "
        "(--val-split subjects), never on test data; calibration of the test before and after; and, if it was trained "
        "on some classes (--classes), how well scores tell clips of the others. calibration.json stays beside the "
        "weights, and predictions heed it.",
    )
    add = parser.add_argument
    add("room", help="folder or image of the room: CTR-GCN, stgcn ...")
    add("--weights", type=Path, required=True, help="weights file of a training with --val-split subjects")
    add("--config", type=Path, help="config.yaml of that training; default: the one beside the weights")
    add("--report", choices=("yes", "no"), default="yes", help="write report.html there anew (default: yes)")
    add("--device", default="cpu", help="cpu, 0, cuda:0 (default: cpu)")
    add("--trust-code", action="store_true", help=trust.HELP)
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, write and say.

    Raises:
        LabError: what the user has to put right.
    """
    from skeleton_lab.inference import calibrated, opening

    opening.configuration(registry.find(options.room), options.weights, options.config)  # a wrong one shows first
    if not options.weights.is_file():
        raise UsageError(f"--weights {options.weights}: there is no such file")
    beside = registry.config_beside(options.weights)
    if options.config is None and beside is None:
        raise UsageError("--config: there is no config.yaml beside the weights; name that of the training")
    folder = beside.parent if beside is not None else options.weights.parent
    content = _measured(options)
    path = folder / calibrated.FILE
    _write(path, content)
    for line in _lines(content):
        print(line)
    print(f"written to {path}; predictions with these weights heed it")
    if options.report == "yes":
        _report(folder)
    return 0


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    """The content of ``calibration.json``."""
    from skeleton_lab.calibration import held_out  # here: --help and mistakes need no PyTorch
    from skeleton_lab.inference import opening
    from skeleton_lab.inference.calibrated import digest

    notices: list[str] = []
    with opening.opened(options, notices.append) as network:
        if network.calibration is None:  # else they may be of an earlier one
            print(*notices, sep="\n", end="\n" * bool(notices))
        held_out.check(network.options, str(network.options.config))
        parts = held_out.parts(network)
        logits = {
            name: _finite(network.logits(feeder, name), options.weights)
            for name, feeder in (("validation", parts.validation), ("test", parts.test))
        }
        about = {
            "room": registry.find(options.room).folder,
            "model": network.options.model,
            "weights": options.weights.name,
        }
    return {
        **about, "digest": digest(options.weights), "subjects": {"held_out": parts.subjects, "of": parts.of},
        "classes": None if parts.all_classes else parts.classes.tolist(),
        **figures(logits["validation"], parts.validation.label, logits["test"], parts.test.label, parts.classes),
    }  # fmt: skip


def figures(
    validation: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, classes: np.ndarray
) -> dict[str, Any]:
    """Temperature and threshold by the validation alone; calibration and unknown classes of the test.

    Args:
        validation, test: logits (N, K), (M, K); test labels may be of other classes than ``classes``, the known ones,
            and than 0..K-1.

    Raises:
        UsageError: as ``fitted_temperature``.
    """
    from skeleton_lab.utils.reliability import fitted_temperature, measured

    fitted = fitted_temperature(validation, labels)
    temperature = 1.0 if fitted is None else fitted
    known = np.isin(test_labels, classes)
    seen, seen_labels = test[known], test_labels[known]
    flat = unknown.flat(unknown.score("energy", validation, classes))
    rejecting = "max probability" if flat else "energy"
    return {
        "temperature": temperature, "fitted": fitted is not None,
        "reject": {
            "score": rejecting, "accepts": unknown.ACCEPTED,
            "threshold": unknown.threshold(unknown.score(rejecting, validation, classes)),
        },
        "validation": {"clips": len(labels), "top1": float((validation.argmax(1) == labels).mean())},
        "before": measured(seen, seen_labels).as_json(),
        "after": measured(seen, seen_labels, temperature).as_json(),
        "unknown": _unknown(test, known, classes, validation, [rejecting] if flat else unknown.SCORES),
    }  # fmt: skip


def _unknown(
    test: np.ndarray, known: np.ndarray, classes: np.ndarray, validation: np.ndarray, names: Sequence[str]
) -> dict[str, Any] | None:
    """How well each score separates; None where the test has no clip of an unknown class."""
    if known.all():
        return None
    each = {}
    for name in names:
        scores = unknown.score(name, test, classes)
        at = unknown.threshold(unknown.score(name, validation, classes))
        edges = np.histogram_bin_edges(scores, BARS)
        each[name] = {
            **asdict(unknown.separation(scores[known], scores[~known])),
            "threshold": at,
            "accepted": {word: float((scores[rows] >= at).mean()) for word, rows in _sides(known)},
            "edges": edges.tolist(),
            "shares": {word: _shares(scores[rows], edges) for word, rows in _sides(known)},
        }
    return {"known": int(known.sum()), "unknown": int((~known).sum()), "scores": each}


def _sides(known: np.ndarray) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]:
    return ("known", known), ("unknown", ~known)


def _shares(scores: np.ndarray, edges: np.ndarray) -> list[float]:
    return (np.histogram(scores, edges)[0] / len(scores)).tolist()


def _finite(logits: np.ndarray, weights: Path) -> np.ndarray:
    if not np.isfinite(logits).all():
        raise UsageError(f"--weights {weights}: some logits are not finite; the weights are damaged")
    return logits


def _lines(content: dict[str, Any]) -> list[str]:
    """What a terminal is told."""
    held, of, clips = content["subjects"]["held_out"], content["subjects"]["of"], content["validation"]["clips"]
    lines = [f"temperature {content['temperature']:.4f}, on {clips} training clips of {held} of {of} subjects, who "
             "were held out of the training"]  # fmt: skip
    if not content["fitted"]:
        lines.append("every one of these clips is told right, so no temperature is the best: probabilities stay")
    lines.append(f"{'test':16}{'top-1':>9}{'mean p':>9}{'ECE':>9}{'Brier':>9}{'NLL':>9}")
    for word, key in (("as trained", "before"), ("calibrated", "after")):
        made = content[key]
        shares = "".join(f"{100 * made[name]:8.2f}%" for name in ("top1", "mean_confidence", "ece"))
        lines.append(f"{word:16}{shares}{made['brier']:9.4f}{made['nll']:9.4f}")
    lines.append(
        f"of a network that is calibrated, {content['after']['samples']} clips would show an ECE of "
        f"{100 * content['after']['ece_calibrated']:.2f} % on average"
    )
    told = content["unknown"]
    if told is None:
        return [*lines, "the test has no clip of a class that was not trained on: leave some out with --classes to "
                "measure how well such clips are told"]  # fmt: skip
    lines.append(f"{told['unknown']} test clips of classes that were not trained on, against {told['known']} of known:")
    lines.append(f"{'score':16}{'AUROC':>9}{'FPR95':>9}")
    lines += [f"{name:16}{100 * each['auroc']:8.2f}%{100 * each['fpr']:8.2f}%" for name, each in told["scores"].items()]
    reject = content["reject"]
    accepted = told["scores"][reject["score"]]["accepted"]
    strange, known = (f"{100 * (1 - accepted[side]):.1f} %" for side in ("unknown", "known"))
    return [*lines, f"{reject['score']} below {reject['threshold']:.4g} (5 % of the held-out clips): {strange} of the "
            f"unknown and {known} of the known test clips"]  # fmt: skip


def _write(path: Path, content: dict[str, Any]) -> None:
    import json

    from skeleton_lab.utils.atomic import write_atomically

    try:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None


def _report(folder: Path) -> None:
    """The page; one that fails does not undo what was measured."""
    try:
        from skeleton_lab.reporting import run_report

        print(f"Report: {run_report.write(folder)}")
    except Exception as error:
        print(f"No report: {type(error).__name__}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    return guarded(lambda: run(_parser().parse_args(argv)))
