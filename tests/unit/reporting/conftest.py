"""The archive that clips are shown of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.synthetic import archive as synthetic


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("view") / "demo.npz"
    synthetic.write(path, train=20, test=20, classes=10, frames=70, progress=False)
    return path


@pytest.fixture(scope="module")
def arrays(archive) -> dict[str, np.ndarray]:
    with np.load(archive) as file:
        return dict(file)
