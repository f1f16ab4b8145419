"""What a work dir tells about a run. Every file may be missing, cut short or damaged; what is left is reported."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import class_names as class_name_lists
from skeleton_lab.errors import UsageError
from skeleton_lab.reporting.html.clip_json import UP, Hardest
from skeleton_lab.reporting.run_report import calibration, evaluation
from skeleton_lab.reporting.run_report.calibration import Calibration
from skeleton_lab.reporting.run_report.evaluation import Evaluation
from skeleton_lab.utils import json_lines, safe_yaml

# Streams by the letters of SkateFormer's data_type and of PYSKL's feats
STREAMS = {"j": "joint", "b": "bone", "jm": "joint motion", "bm": "bone motion", "k": "k-bone", "km": "k-bone motion"}
FILES = ("metrics.jsonl", "config.yaml", evaluation.FILE, "hardest.npz", calibration.FILE)


@dataclass
class Run:
    """A run as its work dir tells it; ``notices`` says what could not be read."""

    work_dir: Path
    start: dict[str, Any] = field(default_factory=dict)  # the last start
    resumed: int = 0
    epochs: dict[int, dict] = field(default_factory=dict)
    evals: dict[str, dict[int, dict]] = field(default_factory=dict)  # split -> epoch -> event, during training
    after: list[dict] = field(default_factory=list)  # evaluations that belong to no epoch: final test, phase test
    result: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    evaluation: Evaluation | None = None
    hardest: Hardest | None = None
    calibration: Calibration | None = None
    notices: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """That of the work dir."""
        return named(self.work_dir).name or str(self.work_dir)

    @property
    def model(self) -> str:
        return str(self.start.get("model") or self.config.get("model") or "unknown model")

    @property
    def num_class(self) -> int:
        if self.evaluation is not None:
            return self.evaluation.num_class
        told = number(self.start.get("num_class")) or number(_dict(self.config.get("model_args")).get("num_class"))
        clips = self.hardest
        return int(told) if told else int(max(clips.label.max(), clips.pred.max())) + 1 if clips is not None else 0

    @property
    def feeder_args(self) -> dict[str, Any]:
        return _dict(self.config.get("test_feeder_args")) or _dict(self.config.get("train_feeder_args"))

    @property
    def stream(self) -> str:
        return stream_of(self.feeder_args)


def stream_of(feeder_args: dict[str, Any]) -> str:
    """ "joint", "bone", "joint motion", "k-bone" ...: what a feeder with these arguments feeds."""
    if (letters := _letters(feeder_args)) is not None:
        return STREAMS.get(letters, "joint")  # SkateFormer's feeder takes what it does not know for joints
    source = re.sub(r"(\.\w+)+$", "", str(feeder_args.get("data_path", "")).replace("\\", "/").split("/")[-1])
    words = re.split(r"[^a-z]+", source.lower())
    bone = bool(feeder_args.get("bone")) or "bone" in words
    motion = bool(feeder_args.get("vel")) or "motion" in words
    return ("bone" if bone else "joint") + (" motion" if motion else "")


def _letters(feeder_args: dict[str, Any]) -> str | None:
    """Letters of the stream, where the feeder has them: of its own argument, else of its pipeline's first feature."""
    if isinstance(feeder_args.get("data_type"), str):
        return feeder_args["data_type"]
    steps = feeder_args.get("pipeline")
    feats = [_dict(step).get("feats") for step in steps] if isinstance(steps, list) else []
    return next((str(each[0]) for each in feats if isinstance(each, list) and each), None)


def named(path: Path) -> Path:
    """The whole path; a link keeps the name that its user gave it."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.resolve follows links, Path.absolute leaves '..')


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """``value`` as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON's whole numbers have no end
        return None


def share(value: Any) -> float | None:
    """``value`` as a fraction of clips, or None."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def load(work_dir: Path, brief: bool = False) -> Run:
    """Read a work dir; ``brief``: without the clips to play and how sure the network was.

    Raises:
        UsageError: it is not a folder, or holds none of the files of a run.
    """
    if not work_dir.is_dir():
        raise UsageError(f"{work_dir}: no such folder; give the work dir of a run (flag --work-dir of its main.py)")
    if not any((work_dir / name).is_file() for name in FILES):
        raise UsageError(f"{work_dir} holds no run: none of {', '.join(FILES)} is there")
    run = Run(work_dir)
    _read_metrics(run)
    _read_config(run)
    _read_evaluation(run, brief)
    if not brief:
        _read_hardest(run)
        _read_calibration(run)
    return run


def class_names(run: Run) -> list[str]:
    """K names: those of the archive; else NTU RGB+D for 60 and 120 classes, NW-UCLA for 10 on its skeleton, else
    ``class k``.
    """
    told = run.evaluation.class_names if run.evaluation is not None else []
    if told:
        return told + [f"class {k}" for k in range(len(told), run.num_class)]
    return class_name_lists.published(run.num_class, ucla=run.num_class == 10 and _is_ucla(run))


def _is_ucla(run: Run) -> bool:
    if run.hardest is not None:
        return run.hardest.data.shape[3] == 20
    return number(_dict(run.config.get("model_args")).get("num_point")) == 20


# metrics.jsonl


def _read_metrics(run: Run) -> None:
    path = run.work_dir / "metrics.jsonl"
    if not path.is_file():
        run.notices.append("metrics.jsonl is missing: no curves, times and memory.")
        return
    events, damaged = json_lines.read(path)
    current = None  # the epoch just trained: an evaluation of another number is the final test's or phase test's
    for event in events:
        current = _take(run, event, current)
    if damaged:  # the last line of a killed run, or one that a resumed run went on in
        run.notices.append(f"{damaged} damaged line(s) of metrics.jsonl left out: the run was stopped while writing.")


def _take(run: Run, event: dict, current: int | None) -> int | None:
    kind, epoch = event.get("event"), number(event.get("epoch"))
    if kind == "start":
        run.start = event
        if event.get("resumed"):
            run.resumed += 1
            return current
        return None
    if kind == "epoch" and epoch is not None:
        run.epochs[int(epoch)] = event
        return int(epoch)
    if kind == "eval":
        if epoch is not None and epoch == current:
            run.evals.setdefault(str(event.get("split", "test")), {})[int(epoch)] = event
        else:
            run.after.append(event)
    elif kind == "result" and (current is not None or not run.epochs):  # not that of a phase test behind a training
        run.result = event
    return current


# config.yaml


def _read_config(run: Run) -> None:
    path = run.work_dir / "config.yaml"
    if not path.is_file():
        run.notices.append("config.yaml is missing: no configuration.")
        return
    text = path.read_text("utf-8", errors="replace")
    first = text.split("\n", 1)[0]
    if first.startswith("# command line:"):
        run.command = first.partition(":")[2].strip()
    try:
        run.config = _dict(safe_yaml.parsed(text, path.name))
    except UsageError as error:
        run.notices.append(f"{error}: no configuration.")


# evaluation.npz, hardest.npz


def _read_evaluation(run: Run, brief: bool) -> None:
    found = run.evaluation = evaluation.read(run.work_dir, run.notices, brief)
    if found is not None:
        told = found.epoch
        found.epoch = _fitting_epoch(run, float((found.labels == found.pred).mean())) if told is None else told or None


def _fitting_epoch(run: Run, top1: float) -> int | None:
    """The epoch of the one of the run's two results that has this accuracy, where only one of them has."""
    results = [_dict(run.result.get(key)) for key in ("best", "last")]
    near = lambda value: value is not None and abs(value - top1) < 1e-6  # noqa: E731
    fitting = {number(each.get("epoch")) for each in results if near(number(each.get("top1")))} - {None}
    return int(fitting.pop()) if len(fitting) == 1 else None


def _read_hardest(run: Run) -> None:
    arrays = evaluation.arrays(run.work_dir / "hardest.npz", ("data", "label", "pred"), run.notices)
    if arrays is None:
        return
    data = arrays["data"]
    count = len(data) if data.ndim == 5 else 0
    label, pred = arrays["label"].reshape(-1), arrays["pred"].reshape(-1)
    numbers = data.dtype.kind in "fiu" and label.dtype.kind in "iu" and pred.dtype.kind in "iu"
    if not numbers or not count or data.shape[1] < 2 or len(label) != count or len(pred) != count:
        if data.size:
            run.notices.append(f"hardest.npz: data of shape {data.shape} is not (k, C, T, V, M): left out.")
        return
    name = [str(word) for word in arrays.get("name", np.arange(0)).reshape(-1)]
    if len(name) != count:
        name = [f"sample {k}" for k in range(count)]
    edges = arrays.get("edges", np.zeros((0, 2)))
    whole = edges.dtype.kind in "fiu" and edges.size % 2 == 0
    edges = edges.reshape(-1, 2).astype(np.int64) if whole else np.zeros((0, 2), np.int64)
    edges = edges[((edges >= 0) & (edges < data.shape[3])).all(1)]
    told = {key: arrays[key].item() for key in ("flat", "up", "y_up") if key in arrays and arrays[key].size == 1}
    up = told.get("up", "y" if told.get("y_up", True) else "-y")  # earlier runs say y_up
    run.hardest = Hardest(
        data.astype(np.float32),
        label.astype(np.int64),
        pred.astype(np.int64),
        name,
        edges,
        bool(told["flat"]) if "flat" in told else None,
        up if up in UP else "y",
    )


# calibration.json


def _read_calibration(run: Run) -> None:
    path = run.work_dir / calibration.FILE
    if path.is_file():
        try:
            run.calibration = calibration.read(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            run.notices.append(f"{path.name} cannot be read ({type(error).__name__}): its part is left out.")
