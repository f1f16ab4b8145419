"""Rooms run in a folder of the test's own: their configurations, beside archives so small that a run takes seconds."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from skeleton_lab import cli, registry
from skeleton_lab.engine import run
from skeleton_lab.utils.importing import import_class

FEW = "--num-epoch 1 --batch-size 6 --test-batch-size 8 --num-worker 0 --device cpu --report False"


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """A program of a room, called as a function, leaves neither its modules nor its folder on the path behind."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        folders = tuple(f"{room.path}/" for room in registry.ROOMS)
        for name in set(sys.modules) - modules:
            told = getattr(sys.modules[name], "__dict__", {})
            if any(str(place).startswith(folders) for place in (told.get("__file__"), *(told.get("__path__") or ()))):
                del sys.modules[name]


def documented(page: str) -> list[str]:
    """The commands of ``docs/PAGE`` that begin with skeleton-lab, in their order."""
    lines = (registry.ROOT / "docs" / page).read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("skeleton-lab ")]


def run_line(line: str, more: str = "") -> int:
    """A command of ``skeleton-lab`` with ``more`` flags behind it, in this process; the exit code."""
    try:
        with in_this_process():
            return cli.main(shlex.split(f"{line} {more}")[1:])
    except SystemExit as stop:
        return int(stop.code or 0)


class Lab:
    """``lab(room, command line)`` runs ``main.py`` of a room in this process and returns its exit code.

    Each room has its folder below ``root``, with its ``config`` and the archives of ``tiny_data`` in ``data``.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.monkeypatch = root, monkeypatch
        monkeypatch.setenv("NTU60_ROOT", str(root / "data" / "ntu"))
        monkeypatch.delenv("NW_UCLA_ROOT", raising=False)

    def enter(self, name: str) -> registry.Room:
        """Make the room's folder the working directory."""
        room = registry.find(name)
        folder = self.root / room.folder
        if not folder.exists():
            folder.mkdir()
            (folder / "data").symlink_to(self.root / "data")
            (folder / "config").symlink_to(room.path / "config")
        self.monkeypatch.chdir(folder)
        return room

    def __call__(self, name: str, line: str) -> int:
        room = self.enter(name)
        with registry.room(room.folder):
            return run(room.recipe, str(room.path / "main.py"), shlex.split(line))

    def weights(self, name: str, config: str, path: Path, **changes: Any) -> Path:
        """Weights of the network of a configuration, untrained, saved at ``path``."""
        room = registry.find(name)
        given = yaml.safe_load((room.path / config).read_text())
        torch.manual_seed(0)
        with registry.room(room.folder):
            network = import_class(given["model"])(**{**given["model_args"], **changes})
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
        return path


def shrink(config: dict[str, Any], frames: int = 16) -> str:
    """Flags that make a configuration small: fewer frames, each clip once."""
    flags = []
    for split in ("train", "test"):
        args, words = config.get(f"{split}_feeder_args", {}), []
        if args.get("repeat", 1) > 1:
            words.append("repeat=1")
        if args.get("times", 1) > 1:
            words.append("times=1")
        if args.get("window_size", 0) > frames and "ucla" not in config["feeder"]:
            if "frame_size" not in config["model_args"]:
                words.append(f"window_size={frames}")
            if "thres" in args:
                words.append(f"thres={frames}")
        if words:
            flags.append(f"--{split}-feeder-args {','.join(words)}")
    return " ".join(flags)
