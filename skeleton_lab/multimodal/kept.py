"""Files of a work dir that an earlier start has left: read again, or one line that says which to remove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skeleton_lab.errors import LabError, UsageError, one_line


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong with the file becomes a ``UsageError`` that says what to do; keep the block small."""
    try:
        yield
    except LabError:
        raise
    except Exception as error:  # damaged bytes make NumPy, zipfile and PyTorch raise nearly any
        said = one_line(error)
        raise UsageError(f"{path} is damaged ({said}); remove it, and it is made again") from error


def arrays(path: Path, rows: Mapping[str, int | None]) -> dict[str, np.ndarray]:
    """The arrays of an NPZ.

    Args:
        rows: of each array that has to be there; None for a single number.

    Raises:
        UsageError: it is damaged, or not what was written there.
    """
    with reading(path), np.load(path, allow_pickle=False) as file:
        found = {key: file[key] for key in rows}
        for key, count in rows.items():
            if found[key].shape[:1] != (() if count is None else (count,)):
                raise ValueError(f"{key} has shape {found[key].shape}")
        return found
