"""The settings of a run and where its files are."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.utils.atomic import refuse_special, write_atomically
from skeleton_lab.zero_shot.model.objective import Objective

METRICS = "train.json"
SEEDS = "seeds.json"  # of several runs


@dataclass(frozen=True)
class Settings:
    """What makes two runs of training the same; numbers of cycles apart."""

    objective: Objective
    num_class: int
    unseen: int
    prefix: str
    phase: str  # "train" or "val"
    modes: str
    encoder: str
    latent: int
    cycle_length: int
    seed: int = 5
    published_rng: bool = False
    select: str = "best"  # which cycle is saved: best, last, val

    def as_json(self) -> dict[str, Any]:
        """By the names of the flags, for files."""
        named = asdict(self)
        flags = {"num_class": "ntu", "unseen": "ss", "prefix": "st", "modes": "tm", "encoder": "le",
                 "latent": "latent_size", "cycle_length": "num_epoch_per_cycle"}  # fmt: skip
        named.update(named.pop("objective"))
        return {flags.get(key, key): value for key, value in named.items()}


def results_folder(work_dir: Path, encoder: str, modes: str) -> Path:
    """``<wdir>/<le>/<tm>``, where a stage writes its files."""
    return work_dir / encoder / modes


def seed_folder(work_dir: Path, seed: int) -> Path:
    """The work dir of one of several seeds: ``<wdir>/seed_<n>``."""
    return work_dir / f"seed_{seed}"


def stage_one(work_dir: Path) -> Path:
    """The work dir of phase train that belongs to one of phase val: without ``_val`` at the end of its name."""
    return _renamed(work_dir, lambda name: name.removesuffix("_val"))


def stage_two(work_dir: Path) -> Path:
    """The work dir of phase val that belongs to one of phase train: with ``_val`` at the end of its name."""
    return _renamed(work_dir, lambda name: f"{name}_val")


def _renamed(work_dir: Path, rename: Callable[[str], str]) -> Path:
    """Of ``<wdir>/seed_<n>`` the name of ``<wdir>`` counts."""
    if re.fullmatch(r"seed_-?\d+", work_dir.name):
        return _renamed(work_dir.parent, rename) / work_dir.name
    if not work_dir.name:  # "." has no name of its own
        work_dir = work_dir.absolute()
    return work_dir.with_name(rename(work_dir.name))


def check_writable(folder: Path) -> Path:
    """Create ``folder``.

    Raises:
        UsageError: it is a file, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable"):
            pass
    except OSError as error:
        raise UsageError(f"--wdir: {folder} cannot be written to ({error.strerror or error})") from error
    return folder


def save_json(path: Path, content: dict[str, Any]) -> None:
    """What a program found out, for scripts and reports."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def load_json(path: Path) -> dict[str, Any]:
    """The content of ``save_json``.

    Raises:
        LabError: missing or damaged.
    """
    refuse_special(path)
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise LabError(f"there is no {path}: run the stage that writes it first") from None
    except (OSError, ValueError) as error:
        raise LabError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path} is not a file of these programs")
    return content
