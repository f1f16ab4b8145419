"""What a file says about itself, gathered from the network that it is made of."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import skeleton_lab
from skeleton_lab.data.archives.about import written
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.nw_ucla import MODALITY
from skeleton_lab.inference import calibrated, predictions
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.onnx_about import About

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("data_path", "label_path", "root", "split", "debug")  # arguments of a feeder that say where its clips are


def about(
    network: Network, feeder: Feeder, room: str, frames: int, dynamic: list[str],
    names: Path | None, preprocessing: bool, logits: int,
) -> About:  # fmt: skip
    """Of a network that was traced on clips of ``frames`` frames by ``feeder``.

    Args:
        room: its image name; dynamic: axes that are free; names: file of the classes' names, one a line; logits: K.

    Raises:
        UsageError: the file of names cannot be read, or has another number of them.
    """
    return About(
        room=room, model=network.name, config=_place(network.config), weights=str(network.weights), num_class=logits,
        classes=predictions.class_names(logits, network.ucla, names, network.class_names),
        skeleton=None if network.skeleton is None else written(network.skeleton), joints=network.joints,
        channels=network.channels, persons=network.persons, scored=network.scored, placed=feeder.placed,
        frames=frames, dynamic=dynamic, window=network.window, usual_length=network.usual_length,
        padded=network.padded, feeder=network.options.feeder, feeder_kind=_kind(network.feeder_class),
        feeder_args=_arguments(network), average_clips=feeder.average_clips, generated=network.generated,
        bones=network.bones, preprocessing=preprocessing, version=skeleton_lab.__version__, commit=commit(),
        calibration=None if network.calibration is None else calibrated.statement(network.calibration),
    )  # fmt: skip


def _place(path: Path) -> str:
    """A file's path, in the lab's working tree from there."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _arguments(network: Network) -> dict[str, Any]:
    """The feeder's arguments as JSON has them, but for those that say where clips are."""
    kept = {key: value for key, value in network.arguments.items() if key not in PLACES}
    if network.ucla:  # whose data_path is the stream where it is no path
        word = str(network.arguments.get("data_path"))
        kept["data_path"] = word if MODALITY.fullmatch(word) else "joint"
    return kept


def _kind(feeder_class: type[Feeder]) -> str:
    """The lab's class that a room's feeder is made of."""
    own = next(each for each in feeder_class.__mro__ if each.__module__.startswith("skeleton_lab."))
    return f"{own.__module__}.{own.__qualname__}"


def commit() -> str | None:
    """Of the lab's working tree, with ``+`` where it was changed since; None where it is none, as in an image."""
    if not (ROOT / ".git").exists():
        return None
    try:
        run = ["git", "-C", str(ROOT)]
        head = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        changed = subprocess.run([*run, "diff", "--quiet", "HEAD"], capture_output=True, timeout=30).returncode
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + "+" * bool(changed)
