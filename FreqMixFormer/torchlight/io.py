"""``IO``: the log, the files and the timer of a run in one work dir."""

from __future__ import annotations

import pickle
import shlex
import sys
import time
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from skeleton_lab.engine import pretrained
from skeleton_lab.engine import work_dir as workdir
from skeleton_lab.engine.checkpoint import save_tensors, weights_of
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.engine.logging import Log
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.importing import optional
from torchlight.arguments import import_class

# Of ST-GCN's program, for which torchlight was written
STAMP = "[%m.%d.%y|%H:%M:%S] "
LOADING, SAVED = "Load weights from {file}.", "The model has been saved as {file}."
IGNORES = "starts"


class IO:
    """Everything a program writes.

    Args:
        work_dir: created, with its parents.
        save_log: lines go to ``log.txt``.
        print_log: lines go to the screen.
    """

    def __init__(self, work_dir: str | Path, save_log: bool = True, print_log: bool = True) -> None:
        self.work_dir = workdir.prepare(Path(work_dir))
        self._log = Log(STAMP, screen=print_log, file=save_log)
        self._log.open(self.work_dir / "log.txt")
        self.split_timer: dict[str, float] = {}
        self.cur_time = time.time()

    def log(self, *args: Any, **kwargs: Any) -> None:
        """The logging service that this once wrote to is gone: nothing happens."""

    # ----------------------------------------------------------------------------------------------- networks

    def load_model(self, model: str, **model_args: Any) -> nn.Module:
        """The network of class path ``model``, made with ``model_args``."""
        return import_class(model)(**model_args)

    def load_weights(
        self,
        model: nn.Module,
        weights_path: str | Path,
        ignore_weights: str | Sequence[str] | None = None,
        fix_weights: bool = False,
    ) -> nn.Module:
        """Load a weights file into ``model`` and return it.

        Args:
            ignore_weights: keys that start with one of these are left out.
            fix_weights: parameters that are loaded stop requiring gradients.

        Raises:
            WeightsError: see ``skeleton_lab.engine.pretrained.load_weights``; missing keys are only reported.
        """
        path, rule = Path(weights_path), IGNORES
        ignored = [ignore_weights] if isinstance(ignore_weights, str) else list(ignore_weights or ())
        self.print_log(LOADING.format(file=path))
        pretrained.load_weights(model, path, ignore=ignored, rule=rule, say=self.print_log)
        if fix_weights:
            drops = pretrained.DROPS[rule]
            found = pretrained.named_for(model.state_dict(), pretrained.read_weights(path), path)
            loaded = {key for key in found if not any(drops(key, word) for word in ignored)}
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and name not in loaded)
        return model

    def save_model(self, model: nn.Module, name: str) -> None:
        """Weights in the published format, as file ``name`` of the work dir."""
        path = self.work_dir / name
        tensors = OrderedDict((key.replace("module.", ""), value) for key, value in weights_of(model).items())
        save_tensors(path, tensors)
        self.print_log(SAVED.format(file=path))

    # -------------------------------------------------------------------------------------------- other files

    def save_pkl(self, obj: Any, name: str) -> None:
        """``obj`` as a pickle."""
        write_atomically(self.work_dir / name, lambda file: pickle.dump(obj, file))

    def save_h5(self, arrays: Mapping[str, Any], name: str, append: bool = False) -> None:
        """One data set per key; with ``append`` beside those that the file has."""
        h5py = optional("h5py", "h5py", "h5", "save_h5")
        with h5py.File(self.work_dir / name, "a" if append else "w") as file:
            for key, array in arrays.items():
                file[key] = array

    def save_arg(self, arg: Namespace) -> None:
        """``config.yaml``: the command line as a comment, then all options."""
        text = f"# command line: {shlex.join(sys.argv)}\n\n{yaml_file.dump(vars(arg), indent=4)}"
        write_atomically(self.work_dir / "config.yaml", lambda file: file.write(text.encode()))

    # ---------------------------------------------------------------------------------------- lines and times

    def print_log(self, text: str, print_time: bool = True) -> None:
        """One entry of the log, stamped ``[mm.dd.yy|HH:MM:SS]``."""
        self._log(str(text), stamp=print_time)

    def init_timer(self, *names: str) -> None:
        """Start the clock, and one sum of seconds per name."""
        self.record_time()
        self.split_timer = dict.fromkeys(names, 1e-7)

    def check_time(self, name: str) -> None:
        """Add the time since the last call to ``name``."""
        self.split_timer[name] += self.split_time()

    def record_time(self) -> float:
        """Start the clock again; returns the time now."""
        self.cur_time = time.time()
        return self.cur_time

    def split_time(self) -> float:
        """Seconds since the clock was started; starts it again."""
        before = self.cur_time
        return self.record_time() - before

    def print_timer(self) -> None:
        """The sums of seconds, and their shares."""
        total = sum(self.split_timer.values())
        self.print_log("Time consumption:")
        for name, seconds in self.split_timer.items():
            self.print_log(f"\t[{name}][{round(100 * seconds / total):02d}%]: {seconds:.4f}")
