"""Fixtures of the raw pipelines: recordings, what the published scripts make of them, and short ways to run ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from places import PARITY

from skeleton_lab.data.preprocessing.programs import prepare
from skeleton_lab.data.preprocessing.recordings import Source, listed

RAW = PARITY / "raw"
KINETICS = RAW / "kinetics_raw"
EXPECTED = json.loads((PARITY / "raw_expected.json").read_text())
NAMES = EXPECTED["names"]


def arrays() -> dict[str, np.ndarray]:
    with np.load(PARITY / "raw_expected.npz") as file:
        return dict(file)


def sources() -> list[Source]:
    return sorted(listed(RAW))


def lay_out(root: Path) -> tuple[Path, Path]:
    """The recordings as the authors publish them: setups 1-17 in one folder, 18 and later in another."""
    folders = root / "nturgb+d_skeletons", root / "nturgb+d_skeletons120"
    for folder in folders:
        folder.mkdir(parents=True)
    for path in RAW.glob("*.skeleton"):
        shutil.copy(path, folders[path.name >= "S018"])
    return folders


def run(*arguments: object) -> int:
    return prepare([str(a) for a in arguments] + ["--quiet"])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
