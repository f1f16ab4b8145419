"""``study.yaml`` in a folder of its own, with two archives that hold nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml


def writer(folder: Path, monkeypatch: Any, usual: Mapping[str, Any]) -> Callable[..., Path]:
    """Go to the folder; a function that writes the usual study there with changes, None for a key that lacks."""
    monkeypatch.chdir(folder)
    for name in ("a.npz", "b.npz"):
        (folder / name).write_bytes(b"")

    def write(**changes: Any) -> Path:
        path = Path("study.yaml")
        path.write_text(yaml.safe_dump({key: value for key, value in (usual | changes).items() if value is not None}))
        return path

    return write
