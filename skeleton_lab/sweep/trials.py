"""What Ray Tune is given: a trial, ASHA with the trials' history, a watch over them.

The only module that imports Ray as soon as it is imported itself.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from skeleton_lab.sweep import state
from skeleton_lab.sweep.child import Child

PAUSE = 0.2  # seconds between looks at a training
EPOCH, ACCURACY, TRAINING, CODE = "epoch", "accuracy", "training", "code"  # keys of a result
NAME, TOLD = "run", "told"  # keys of a trial's configuration
BEGUN, STOPPED, ENDED, LOST = "begun", "stopped", "ended", "lost"
Notes = queue.SimpleQueue[tuple[str, str, int]]  # what has happened, to which run, and the number of a process


class Trial(tune.Trainable):
    """The room's command. Its first result is the process, then each evaluated epoch is one, the last its exit code.

    Ray calls all of this in the main thread of a process of its own: when that is killed, the training saves and ends.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start the training.

        Args:
            config: ``run``: its name; ``told``: JSON, of each run ``argv``, ``environment``, ``log``, ``note``,
                ``settings``, ``folder``, ``cwd``, ``epochs``, and ``done``: the last epoch that ASHA knows.
        """
        self._told = told = json.loads(config[TOLD])[config[NAME]]
        os.chdir(told["cwd"])
        self._note(None)
        self._child = Child(told["argv"], Path(told["log"]), told["environment"])
        self._reported, self._first = told["done"], True

    def step(self) -> dict[str, Any]:
        """Wait for the next result; Ray calls this until it is the last, or ASHA has seen enough."""
        if self._first:
            self._first = False
            return {EPOCH: 0, ACCURACY: 0.0, TRAINING: self._child.pid}
        while True:
            code = self._child.poll()  # before the look: after its end all that it wrote is seen
            known = state.validated(Path(self._told["folder"]))
            fresh = [epoch for epoch in sorted(known) if self._reported < epoch < self._told["epochs"]]
            if fresh:
                self._reported = fresh[0]
                return {EPOCH: fresh[0], ACCURACY: known[fresh[0]]}
            if code is not None:
                self._note(code)
                last = max(known, default=0)
                return {EPOCH: last, ACCURACY: known.get(last, 0.0), CODE: code, "done": True}
            time.sleep(PAUSE)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial's turn in this process: to start one takes Ray seconds."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """It has ended, or is not to go on: then it saves. Ray waits for this before it takes the process away."""
        self._child.tell(signal.SIGUSR1)
        if self._child.wait() == 0:  # it was about to end: what it has is a result like any other
            self._note(0)

    def _note(self, code: int | None) -> None:
        state.note(Path(self._told["note"]), self._told["settings"], code)


class Halving(AsyncHyperBandScheduler):
    """Ray's ASHA. It knows a trial by the name of its run, so what an earlier sweep has seen counts for it.

    Args:
        epochs: of a whole trial; after ``grace`` epochs, and each time ``reduction`` times as many, the best
            1 / ``reduction`` of the trials that have got so far go on.
        stopped: is told the run, epoch and accuracy of a trial that does not.
        halted: once it is set, no trial begins.
    """

    def __init__(
        self, epochs: int, grace: int, reduction: float, stopped: Callable[[str, int, float], None],
        halted: threading.Event,
    ) -> None:  # fmt: skip
        super().__init__(EPOCH, ACCURACY, "max", max_t=epochs, grace_period=grace, reduction_factor=reduction)
        self._stopped, self._halted = stopped, halted

    def remember(self, name: str, history: Iterable[tuple[int, float]]) -> None:
        """Epochs (from 1) and accuracies of a trial, whose decisions have been made."""
        for epoch, accuracy in history:
            self.goes_on(name, epoch, accuracy)

    def goes_on(self, name: str, epoch: int, accuracy: float) -> bool:
        """Whether a trial that has come so far is good enough; it counts from now on."""
        trial = SimpleNamespace(trial_id=name)
        super().on_trial_add(None, trial)
        decision = super().on_trial_result(None, trial, {EPOCH: epoch, ACCURACY: accuracy})
        super().on_trial_remove(None, trial)
        return decision != TrialScheduler.STOP

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        pass

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        name, epoch, accuracy = trial.config[NAME], result[EPOCH], result[ACCURACY]
        if self.goes_on(name, epoch, accuracy):
            return TrialScheduler.CONTINUE
        self._stopped(name, epoch, accuracy)
        return TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        pass

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        pass

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        if not self._halted.is_set():
            return super().choose_trial_to_run(tune_controller)
        for trial in tune_controller.get_trials():
            if trial.status == "PENDING":
                tune_controller.stop_trial(trial)
        return None


class Watch(TrialProgressCallback):
    """Notes which trials begin and end. Ray adds one of this kind, which prints it, where it sees none."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        if TRAINING in result:
            self._notes.put((BEGUN, trial.config[NAME], result[TRAINING]))
        elif CODE in result:
            self._notes.put((ENDED, trial.config[NAME], result[CODE]))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        pass

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._notes.put((LOST, trial.config[NAME], 0))
