"""``--track``: a run's curves, settings and results for W&B or MLflow, beside TensorBoard and metrics.jsonl.

``Summaries`` tells ``Trackers`` what it tells TensorBoard. A tracker is a class of ``KINDS`` with the methods of
``Tracker``. It never decides about a run: one that cannot start, or fails later, is said once and left out. Without a
server both write files into the work dir, and nothing is asked for on the terminal.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from skeleton_lab.engine.config.options import Options
from skeleton_lab.errors import one_line
from skeleton_lab.utils import json_lines
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.importing import optional

IDENTITY = "tracking.json"  # in the work dir: kind -> the run's id there, by which a resumed run goes on in it
EXPERIMENT = "skeleton-lab"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}  # neither tells its makers of the run
SENT_AT_ONCE = 500  # values; MLflow takes 1,000 and 100 parameters
LONGEST = 500  # characters of a parameter that every MLflow server takes


class Tracker(Protocol):
    """What a tracker has to be able to do.

    Attributes:
        id: of the run there.
    """

    id: str

    def __init__(self, work_dir: Path, settings: Mapping[str, Any], earlier: str | None, say: Callable) -> None:
        """Open the run that is named as the work dir, or go on with the one of id ``earlier``."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves, by their names, after so many optimizer steps."""

    def flush(self) -> None:
        """Send what is held back."""

    def result(self, values: Mapping[str, Any]) -> None:
        """What the run came to; afterwards it counts as finished."""

    def close(self) -> None:
        """End the run; one without a result was interrupted."""


class WandB:
    """Weights & Biases: online where WANDB_API_KEY or a login is there, else a folder ``wandb`` for ``wandb sync``."""

    def __init__(self, work_dir: Path, settings: Mapping[str, Any], earlier: str | None, say: Callable) -> None:
        import wandb

        self.id = earlier or uuid.uuid4().hex[:8]
        mode = os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not wandb.api.api_key:  # it would ask on the terminal
            mode = "offline"
            files = f"{work_dir}/wandb/offline-run-*"
            say(f"--track wandb: no WANDB_API_KEY and no login: offline; `wandb sync {files}` uploads it")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", EXPERIMENT), name=work_dir.resolve().name, id=self.id,
            resume="allow", mode=mode, dir=str(work_dir), config=dict(settings),
            settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
        )  # fmt: skip
        self.run.define_metric("*", step_metric="step")  # its own counter would refuse steps that are done again
        self.finished = False

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({**values, "step": step})

    def flush(self) -> None:
        """It sends by itself."""

    def result(self, values: Mapping[str, Any]) -> None:
        self.run.summary.update(dict(values))
        self.finished = True

    def close(self) -> None:
        self.run.finish(exit_code=0 if self.finished else 1)


class MLflow:
    """MLflow: the server of MLFLOW_TRACKING_URI, else the file ``mlflow.db`` in the work dir."""

    def __init__(self, work_dir: Path, settings: Mapping[str, Any], earlier: str | None, say: Callable) -> None:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        where = os.environ.get("MLFLOW_TRACKING_URI")
        if not where:
            where = f"sqlite:///{work_dir.resolve()}/mlflow.db"
            say(f"--track mlflow: no MLFLOW_TRACKING_URI; `mlflow ui --backend-store-uri {where}` shows the run")
        self.client, self.metric = MlflowClient(where), Metric
        self.waiting: list[Any] = []
        self.finished = False
        if earlier is not None:
            self.id = earlier
            self.client.update_run(self.id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self.client.get_experiment_by_name(name)
        place = f"{work_dir.resolve()}/mlartifacts" if where.startswith("sqlite:") else None
        number = experiment.experiment_id if experiment else self.client.create_experiment(name, place)
        self.id = self.client.create_run(number, run_name=work_dir.resolve().name).info.run_id
        params = [Param(key, str(value)[:LONGEST]) for key, value in settings.items()]
        for first in range(0, len(params), 100):
            self.client.log_batch(self.id, params=params[first : first + 100])

    def add(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self.waiting += [self.metric(name, float(value), now, step) for name, value in values.items()]
        if len(self.waiting) >= SENT_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        for first in range(0, len(waiting), SENT_AT_ONCE):
            self.client.log_batch(self.id, metrics=waiting[first : first + SENT_AT_ONCE])

    def result(self, values: Mapping[str, Any]) -> None:
        self.add(int(values.get("last/step", 0)), {k: v for k, v in values.items() if isinstance(v, (int, float))})
        self.finished = True

    def close(self) -> None:
        self.flush()
        self.client.set_terminated(self.id, "FINISHED" if self.finished else "KILLED")


KINDS: dict[str, tuple[type[Tracker], str]] = {"wandb": (WandB, "W&B"), "mlflow": (MLflow, "MLflow")}


def check(options: Options) -> None:
    """UsageError, with the command that installs it, where a tracker's package is missing."""
    if options.phase != "train":
        return
    for kind in options.track:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        optional(kind, KINDS[kind][1], kind, f"--track {kind}")


class Trackers:
    """Those of a run; what one of them raises is a line of the log, and the end of it alone."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.say, work_dir = say, Path(options.work_dir)
        self.open: dict[str, Tracker] = {}
        identities = _identities(work_dir) if options.resume else {}
        for kind in dict.fromkeys(options.track):
            try:
                self.open[kind] = KINDS[kind][0](work_dir, options.settings(), identities.get(kind), say)
            except Exception as error:  # whatever a server, a disk or a setting of its own leads to
                self._lost(kind, error)
        told = {**identities, **{kind: tracker.id for kind, tracker in self.open.items()}}
        write_atomically(work_dir / IDENTITY, lambda file: file.write(json.dumps(told).encode()))

    def tell(self, method: str, *arguments: Any) -> None:
        """Call ``method`` of every tracker."""
        for kind, tracker in list(self.open.items()):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:  # as above
                del self.open[kind]
                self._lost(kind, error)

    def _lost(self, kind: str, error: Exception) -> None:
        self.say(f"--track {kind}: {type(error).__name__}: {one_line(error)[:200]}; the run goes on without it")


def _identities(work_dir: Path) -> dict[str, str]:
    """Of the run that is resumed; none where nothing was tracked, or the file is damaged."""
    try:
        told = json_lines.parsed((work_dir / IDENTITY).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {kind: value for kind, value in told.items() if isinstance(value, str)} if isinstance(told, dict) else {}
