"""``skeleton-lab convert-config FILE.py``: a configuration of PYSKL or ProtoGCN as YAML of this lab.

The file is read, never run (``python_literals``). What has no counterpart is said, line by line: nothing that would
change a training is dropped silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from skeleton_lab import registry
from skeleton_lab.engine.config import python_literals, yaml_file
from skeleton_lab.engine.config.python_literals import Assigned
from skeleton_lab.errors import UsageError, guarded, one_line
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser

LAST = ("Collect", "ToTensor")  # steps behind the clip: the lab's loaders do that
STAGES = 10
# keys that say nothing about what is learned
SILENT = {"log_config", "log_level", "dist_params", "workflow", "checkpoint_config", "evaluation", "work_dir"}


class Converted(NamedTuple):
    """The keys of the YAML file, and a line for everything that is not in it, or is not as it was."""

    config: dict[str, Any]
    notes: list[str]


def converted(file: Assigned, where: str, gpus: int = 1) -> Converted:
    """The configuration of what a Python file assigns.

    Args:
        where: the file, for errors; gpus: of the published training, whose batch is so many times that of one.

    Raises:
        UsageError: a network that this lab has not, or parts without which there is no training.
    """
    if "_base_" in file.values:
        raise UsageError(f"{where}: _base_ is not read: put the keys of {file.values['_base_']} into the file")
    taken = _Taken(file, where)
    config = {**_network(taken), **_data(taken), **_training(taken, gpus)}
    return Converted(config, [*taken.notes, *taken.left()])


class _Taken:
    """The values of a file, of which each is asked for once."""

    def __init__(self, file: Assigned, where: str) -> None:
        self.values, self.helpers, self.where = file.values, file.helpers, where
        self.used: set[str] = set()
        self.notes: list[str] = []
        self.average = "prob"

    def get(self, key: str, default: Any = None, kind: type = dict) -> Any:
        self.used.add(key)
        value = self.values.get(key, default)
        if value is not None and not isinstance(value, kind):
            raise UsageError(f"{self.where}: {key} is a {type(value).__name__}, expected is a {kind.__name__}")
        return value

    def must(self, key: str) -> dict[str, Any]:
        if key not in self.values:
            raise UsageError(f"{self.where} has no '{key}'; configurations of PYSKL have model, data, optimizer ...")
        return dict(self.get(key))

    def table(self, what: str, value: Any) -> dict[str, Any]:
        """A copy of a dictionary in the file; of None an empty one."""
        if value is not None and not isinstance(value, dict):
            raise UsageError(f"{self.where}: {what} is a {type(value).__name__}, expected is a dict")
        return dict(value or {})

    def note(self, line: str) -> None:
        self.notes.append(one_line(line))  # it becomes a comment, whatever a text of the file holds

    def rest(self, what: str, entries: dict[str, Any]) -> None:
        """Say what is left of a dictionary from which everything that is understood has been taken."""
        for key, value in entries.items():
            self.note(f"{what}.{key}={value!r} has no counterpart here")

    def left(self) -> list[str]:
        """A line for each top-level name that was not asked for and that no other value is made of."""
        plain = [key for key, value in self.values.items() if value is not None and key not in self.used | SILENT]
        return [
            one_line(f"{key}={str(self.values[key])[:80]} has no counterpart here")
            for key in plain
            if key not in self.helpers
        ]


def _network(taken: _Taken) -> dict[str, Any]:
    model = taken.must("model")
    backbone, head = (taken.table(f"model.{part}", model.pop(part, None)) for part in ("backbone", "cls_head"))
    kind = backbone.pop("type", None)
    if not isinstance(kind, str) or kind not in registry.BACKBONES:
        raise UsageError(f"{taken.where}: backbone {kind!r}; known here are {', '.join(registry.BACKBONES)}")
    for part in (model, head):
        part.pop("type", None)
    head.pop("in_channels", None)
    if backbone.get("pretrained") is None:
        backbone.pop("pretrained", None)
    test = taken.table("model.test_cfg", model.pop("test_cfg", None))
    average = test.pop("average_clips", "prob")
    if average not in ("prob", "score"):
        taken.note(f"test_cfg.average_clips={average!r} is not read: probabilities are averaged")
    else:
        taken.average = average
    taken.rest("model.test_cfg", test)
    train = model.pop("train_cfg", None)
    taken.rest("model", {**model, **({"train_cfg": train} if train else {})})
    for key, value in backbone.items():
        if key.startswith(("gcn_", "tcn_")) and isinstance(value, tuple) and len(value) == STAGES:
            raise UsageError(f"{taken.where}: backbone.{key}: a value for each stage cannot be written in YAML")
    published = yaml_file.read(registry.model(registry.BACKBONES[kind]).path)
    return {
        "model": published["model"],
        "model_args": {**_plain(backbone), **_plain(head)},
        "feeder": published["feeder"],
    }


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML has."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _data(taken: _Taken) -> dict[str, Any]:
    data = taken.must("data")
    made = {}
    parts = {name: taken.table(f"data.{name}", data.pop(name)) for name in ("train", "val", "test") if data.get(name)}
    if "train" not in parts:
        raise UsageError(f"{taken.where}: data has no 'train'")
    made["train_feeder_args"] = _feeder(taken, "data.train", parts["train"])
    tested = parts.get("val", parts.get("test"))
    if tested:
        made["test_feeder_args"] = _feeder(taken, "data.val" if "val" in parts else "data.test", tested)
        made["test_feeder_args"] |= {"test_mode": True, "average_clips": taken.average}
    if {"val", "test"} <= set(parts):
        last, val = (
            _feeder(_Taken(Assigned({}, set()), taken.where), "data.test", parts["test"]),
            made["test_feeder_args"],
        )
        clips = next((step["num_clips"] for step in last["pipeline"] if step.get("num_clips", 1) > 1), None)
        if clips:
            taken.note(f"the last test takes {clips} clips: --phase test --test-feeder-args num_clips={clips}")
        if last["split"] != val["split"] or last["data_path"] != val["data_path"]:
            taken.note(
                f"data.test is of {last['data_path']}, {last['split']}, not that of data.val: --test-feeder-args"
            )
    size = data.pop("videos_per_gpu", None)
    if size:
        made |= {"batch_size": size, "test_batch_size": size}
    if (workers := data.pop("workers_per_gpu", None)) is not None:
        made["num_worker"] = workers
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        data.pop(name, None)
    taken.rest("data", data)
    return made


def _feeder(taken: _Taken, what: str, part: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the room's feeder for one part of the data."""
    from skeleton_lab.data.feeders.pyskl_compose import Compose  # here: --help needs no PyTorch

    part, made = dict(part), {}
    if part.get("type") == "RepeatDataset":
        made["times"] = part.get("times", 1)
        part = taken.table(f"{what}.dataset", part.get("dataset"))
    kind = part.pop("type", None)
    if kind != "PoseDataset":
        raise UsageError(f"{taken.where}: {what} is a {kind!r}; PoseDataset, alone or in a RepeatDataset, is read")
    if "ann_file" not in part or "pipeline" not in part:
        raise UsageError(f"{taken.where}: {what} needs ann_file and pipeline")
    steps = part.pop("pipeline")
    if not isinstance(steps, (list, tuple)) or not all(isinstance(step, dict) and step.get("type") for step in steps):
        raise UsageError(f"{taken.where}: {what}.pipeline is no list of steps, dict(type=...) each")
    steps = [_plain(step) for step in steps if step["type"] not in LAST]
    try:
        Compose(steps)
    except UsageError as error:
        raise UsageError(f"{taken.where}: {what}: {error}") from None
    made |= {"data_path": part.pop("ann_file"), "split": part.pop("split", "train"), "pipeline": steps}
    made["window_size"] = next((step.pop("clip_len") for step in steps if "clip_len" in step), None)
    if (share := part.pop("valid_ratio", None)) or (part.get("box_thr") and share is None):
        taken.note(f"{what}: clips are not left out by valid_ratio={share!r}, box_thr={part.get('box_thr')!r}")
    part.pop("box_thr", None)
    part.pop("test_mode", None)
    taken.rest(what, part)
    return made


def _training(taken: _Taken, gpus: int) -> dict[str, Any]:
    optimizer = taken.must("optimizer")
    made: dict[str, Any] = {"optimizer": optimizer.pop("type", "SGD")}
    if made["optimizer"] not in ("SGD", "Adam", "AdamW"):
        raise UsageError(f"{taken.where}: optimizer {made['optimizer']!r}; SGD, Adam and AdamW are read")
    made |= {"base_lr": optimizer.pop("lr", None), "weight_decay": optimizer.pop("weight_decay", 0.0)}
    if made["base_lr"] is None:
        raise UsageError(f"{taken.where}: optimizer has no lr")
    if made["optimizer"] == "SGD":
        made["nesterov"] = optimizer.pop("nesterov", False)
        if (momentum := optimizer.pop("momentum", 0)) != 0.9:
            taken.note(f"optimizer.momentum={momentum} is not read: it is 0.9 here")
    taken.rest("optimizer", optimizer)
    if clip := (taken.get("optimizer_config") or {}).get("grad_clip"):
        taken.note(f"optimizer_config.grad_clip={clip!r} has no counterpart here")
    rate = dict(taken.get("lr_config") or {})
    if rate != {"policy": "CosineAnnealing", "min_lr": 0, "by_epoch": False}:
        taken.note(f"lr_config={rate!r} is not read: the rate falls along a cosine to 0, iteration by iteration")
    epochs = taken.get("total_epochs", kind=int) or (taken.get("runner") or {}).get("max_epochs")
    if not epochs:
        raise UsageError(f"{taken.where}: neither total_epochs nor runner.max_epochs says how long it trains")
    made["num_epoch"] = epochs
    size = (taken.values["data"] or {}).get("videos_per_gpu")
    if size and gpus > 1:
        made |= {"batch_size": size * gpus, "forward_batch_size": size}
    elif size:
        taken.note(f"batch_size is {size}, that of one GPU; the rate belongs to the batch of all: --gpus N")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit code."""
    parser = Parser(description="A PYSKL configuration (.py) as YAML. It is read by its syntax and never run.")
    parser.add_argument("file", metavar="FILE.py", help="a configuration of PYSKL or ProtoGCN")
    parser.add_argument("--output", metavar="FILE.yaml", help="where to write (default: the screen)")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="of the published training (default: 1)")
    return guarded(lambda: _program(parser.parse_args(argv)))


def _program(options: Any) -> int:
    if options.gpus < 1:
        raise UsageError(f"--gpus must be at least 1, got {options.gpus}")
    found = converted(python_literals.read(options.file), options.file, options.gpus)
    text = "".join(f"# {line}\n" for line in [f"converted from {Path(options.file).name}", *found.notes])
    text += yaml.safe_dump(found.config, sort_keys=False, default_flow_style=None, width=120)
    if options.output is None:
        print(text, end="")
        return 0
    path = Path(options.output)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--output {path}: there is no such folder")
    try:
        write_atomically(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise UsageError(f"--output {path}: cannot be written ({error.strerror})") from error
    for line in found.notes:
        print(f"notice: {line}")
    print(f"wrote {path}")
    return 0
