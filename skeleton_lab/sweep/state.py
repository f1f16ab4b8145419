"""Where each run of a study stands: by what it has left in its folder, and by what was noted when it ended.

``OUT/notes/NAME.json`` is written when a run begins and when it has ended; a sweep that is killed leaves the first. A
run without a note of its end is started again with ``--resume``, and finds by itself how far it had got.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.compare.finding import CHANGED, STOPPED, WAITING
from skeleton_lab.engine import work_dir
from skeleton_lab.engine.signals import SIGNALS
from skeleton_lab.errors import one_line
from skeleton_lab.reporting.run_report.work_dir import number, share
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.study import Study
from skeleton_lab.utils import json_lines, locks
from skeleton_lab.utils.results import write_json

NOTES, LOGS, TABLE, METRICS = "notes", "logs", "study.json", "metrics.jsonl"
RUNNING, INTERRUPTED, FINISHED, FAILED = "running", "interrupted", "finished", "failed"
ENDS = frozenset({*(128 + signum for signum in SIGNALS), *(-signum for signum in SIGNALS)})  # a request, not a fault
TAIL = 4096  # bytes of a log that are looked at for its last line


@dataclass(frozen=True)
class State:
    """One run's.

    Attributes:
        kind: one of the words above; ``changed``: the folder is of other settings, and is left alone; ``stopped``: by a
            search that does not go on with it, before its last epoch, so that it has no result.
        epochs: that are done. seconds: that they took, None before the first.
        best, last: accuracy of the best and the last epoch, or of the latest evaluation so far in ``last``.
        why: what went wrong.
    """

    kind: str
    epochs: int = 0
    seconds: float | None = None
    best: float | None = None
    last: float | None = None
    why: str = ""

    @property
    def to_do(self) -> bool:
        return self.kind in (WAITING, INTERRUPTED, FAILED)


def note_file(study: Study, run: Run) -> Path:
    return study.out / NOTES / f"{run.name}.json"


def log_file(study: Study, run: Run) -> Path:
    return study.out / LOGS / f"{run.name}.log"


def note(file: Path, run_settings: Mapping[str, Any], code: int | None, stopped: str = "") -> None:
    """Write down that a run has begun (None), or its exit code, -n after signal n; or why a search has stopped it."""
    write_json(file, {"code": code, "settings": dict(run_settings)} | ({"stopped": stopped} if stopped else {}))


def noted(study: Study, run: Run) -> dict[str, Any] | None:
    """The note of a run; None without one, or where it cannot be read: then the run itself tells."""
    try:
        content = json_lines.parsed(note_file(study, run).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        return None
    return content if isinstance(content.get("code", ""), (int, type(None))) else None


def of(study: Study, run: Run) -> State:
    """Where a run stands; nothing is changed."""
    told = noted(study, run)
    epochs, seconds, best, last = progress(run)
    done = (epochs, seconds, best, last)
    if told is not None and (run.folder / METRICS).is_file():  # else it has been moved away
        if other := difference(told["settings"], run):
            return State(CHANGED, *done, why=other)
        if told["code"] == 0 and told["settings"].get("num_epoch") == run.epochs:
            return State(FINISHED, *done)
        if stopped := told.get("stopped"):
            return State(STOPPED, epochs, seconds, why=str(stopped))
    if locks.held(run.folder / work_dir.LOCK):
        return State(RUNNING, *done)
    if told is None or told["code"] == 0:
        return State(INTERRUPTED if epochs else WAITING, *done)
    if told["code"] is None or told["code"] in ENDS:
        return State(INTERRUPTED, *done)
    return State(FAILED, *done, why=_why(study, run, told["code"]))


def difference(before: dict[str, Any], run: Run) -> str:
    """The first setting in which a note differs from the run, in words; more epochs are no difference.

    Flags that a note does not have are younger than it, and off.
    """
    for name, value in before.items():
        now = run.settings.get(name)
        if value == now or name not in run.settings or (name == "num_epoch" and _more(value, now)):
            continue
        return f"{name} was {_quoted(value)} and is {_quoted(now)} now: take another out:, or move {run.folder} away"
    return ""


def _more(before: Any, now: Any) -> bool:
    return isinstance(before, int) and isinstance(now, int) and now > before


def _quoted(value: Any) -> str:
    text = one_line(json.dumps(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def validated(folder: Path) -> dict[int, float]:
    """Accuracy (0 to 1) on the validation split after each epoch that a run has been evaluated after."""
    try:
        events = work_dir.read_metrics(folder / METRICS)
    except (OSError, ValueError):
        return {}
    evaluated = [event for event in events if event.get("event") == "eval" and event.get("split") == "val"]
    told = ((number(event.get("epoch")), share(event.get("top1"))) for event in evaluated)
    return {int(epoch): top1 for epoch, top1 in told if epoch is not None and top1 is not None}


def progress(run: Run) -> tuple[int, float | None, float | None, float | None]:
    """Epochs done, their seconds, accuracy of the best and of the last epoch; of what ``metrics.jsonl`` tells."""
    try:
        events = work_dir.read_metrics(run.folder / METRICS)
    except (OSError, ValueError):
        return 0, None, None, None
    counted = ((number(event.get("epoch")), event) for event in events if event.get("event") == "epoch")
    trained = {epoch: event for epoch, event in counted if epoch is not None}
    tested = [event for event in events if event.get("event") == "eval" and share(event.get("top1")) is not None]
    result: dict[str, Any] = next((event for event in reversed(events) if event.get("event") == "result"), {})
    best, last = (share(each.get("top1")) if isinstance(each := result.get(key), dict) else None
                  for key in ("best", "last"))  # fmt: skip
    seconds = sum(number(event.get("seconds")) or 0.0 for event in (*trained.values(), *tested))
    latest = share(tested[-1]["top1"]) if tested else None
    return int(max(trained, default=0)), number(seconds) or None, best, latest if last is None else last


def _why(study: Study, run: Run, code: Any) -> str:
    """The line that a run ended with: its last error, else the last line of its log."""
    if isinstance(code, int) and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        short = ": the memory may have been short" * (-code == signal.SIGKILL)
        return f"killed by {name}{short}"
    try:
        with open(log_file(study, run), "rb") as file:
            file.seek(max(file.seek(0, 2) - TAIL, 0))
            lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    errors = [line for line in lines if line.startswith("error:")]
    return one_line((errors or lines or [f"exit code {code}"])[-1])[:300]


def write_table(study: Study, runs: Sequence[Run], states: Sequence[State]) -> None:
    """``study.json``: the runs with what tells them apart, their folders below the study's and their states."""
    words = {path: word for word, path in reversed(list(study.data.items()))}
    told = [
        {
            "name": run.name, "room": run.room, "stream": run.stream, "seed": run.seed, "group": run.group,
            "data": run.data, "archive": words[run.data] if len(words) > 1 else "", "flags": dict(run.flags),
            "folder": run.folder.relative_to(study.out).as_posix(), "num_epoch": run.epochs,
            "state": state.kind, "epochs": state.epochs, "best": state.best, "last": state.last,
        }
        for run, state in zip(runs, states)
    ]  # fmt: skip
    write_json(study.out / TABLE, {"study": str(study.path), "runs": told})
