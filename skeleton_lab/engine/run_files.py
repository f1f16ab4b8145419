"""The first things a run writes: header lines, config.yaml, the network's source, the ``start`` event."""

from __future__ import annotations

import datetime
import importlib.metadata
import inspect
import platform
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skeleton_lab.engine import work_dir as workdir
from skeleton_lab.engine.config import options as command_line
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.logging import Log, Metrics, Summaries
from skeleton_lab.engine.runtime import Run
from skeleton_lab.engine.trackers import Trackers
from skeleton_lab.utils import cpus
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.importing import import_class

CONFIG = "config.yaml"


def keeps_config(options: Options) -> bool:
    """Whether the run writes config.yaml; an evaluation in the folder of a training leaves it the training's."""
    return options.phase == "train" or not workdir.holds_run(Path(options.work_dir))


def say_header(options: Options, log: Log, parameters: int) -> None:
    """What runs; the published programs print all their options here, which config.yaml holds in a readable form."""
    work_dir = Path(options.work_dir)
    text = str(work_dir / CONFIG) if keeps_config(options) else shlex.join(options.argv)
    if options.warm_up_epoch and options.phase == "train":
        log(f"using warm up, epoch: {options.warm_up_epoch}")
    if options.recipe.logs_network:
        log(str(import_class(options.model, "model")), file=False, stamp=False)
    for line in options.recipe.header:
        log(line.format(options=text, parameters=parameters))


def open_work_dir(run: Run, classes: int | None) -> None:
    """From here on the run leaves files: config.yaml, log.txt, the network's source, metrics, TensorBoard."""
    options, work_dir, recipe = run.options, run.work_dir, run.recipe
    if not run.team.first:
        return
    training = options.phase == "train"
    beside_run = not keeps_config(options)
    run.log.open(work_dir / "log.txt")
    if run.finished:
        return
    if not beside_run:  # the configuration of a training stays with it
        command_line.save(options, work_dir / CONFIG)
    if training:
        copy_sources(options, work_dir)
    metrics = work_dir / "metrics.jsonl"
    if not beside_run:
        run.metrics = Metrics(metrics)
        if options.resume:
            run.metrics.rewind(run.state.epoch)
        else:
            metrics.unlink(missing_ok=True)
        run.metrics("start", **environment(run, classes))
    if training:
        trackers = Trackers(options, run.log) if options.track else None
        run.summaries = Summaries(work_dir / recipe.summaries if recipe.summaries else None, trackers)


def source_names(options: Options) -> list[str]:
    return [Path(inspect.getfile(import_class(options.model, "model"))).name, "main.py"]


def copy_sources(options: Options, work_dir: Path) -> None:
    """What the recipe names, as it was: the module that defines the network, the program."""
    sources = {"network": Path(inspect.getfile(import_class(options.model, "model")))}
    for name in options.recipe.copies:
        source = sources.get(name, options.room_dir / name)
        if source.is_file() and source.parent.resolve() != work_dir.resolve():
            text = source.read_bytes()
            write_atomically(work_dir / source.name, lambda file, text=text: file.write(text))


def environment(run: Run, classes: int | None) -> dict[str, Any]:
    """The ``start`` event of metrics.jsonl."""
    options, device = run.options, run.runtime.device
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    train, test = run.loaders.train, run.loaders.test
    return {
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "program": options.recipe.name,
        "model": options.model,
        "feeder": options.feeder,
        "parameters": run.learner.parameters,
        "device": str(device) + (f" x {run.team.world}" if run.team.world > 1 else ""),
        "precision": options.precision,
        "argv": list(options.argv),
        "versions": {**versions, "skeleton_lab": importlib.metadata.version("skeleton-lab")},
        "hardware": hardware(device),
        "num_class": classes,
        "train_samples": None if train is None else len(train.dataset),
        "test_samples": None if test is None else len(test.dataset),
        "resumed": bool(options.resume),
    }


def hardware(device: torch.device) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"cpu": cpu_name(), "cores": cpus.available().count, "gpu": gpu}


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
