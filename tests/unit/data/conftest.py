"""The archive that several feeders are tried on."""

from __future__ import annotations

import pytest
from parity.kaggle_sample import make_kaggle_npz


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> str:
    """A file of the Kaggle archive's form: 12 training clips and 8 test clips of 300 frames."""
    path = tmp_path_factory.mktemp("kaggle") / "NTU60_CS.npz"
    make_kaggle_npz(path)
    return str(path)
