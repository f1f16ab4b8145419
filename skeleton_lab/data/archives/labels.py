"""Labels and names of clips, strictly: what is not plainly a class id or a one-hot row is an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skeleton_lab.errors import ArchiveError


def class_ids(
    y: np.ndarray, where: str, num_class: int | None = None, names: Sequence[str] | None = None
) -> tuple[np.ndarray, int | None]:
    """Class ids (N,) int64 and, for one-hot rows, the number of columns; ``where`` (file and key) and the ``names`` of
    the clips are for messages.

    (N,) are ids (floats must be whole numbers); (N, K >= 2) are one-hot rows with exactly one entry above 0.

    Raises:
        ArchiveError: another shape or type, a row with none or several positive entries, an id below 0 or not
            below ``num_class``.
    """
    if y.dtype.kind not in "biuf" or y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] < 2):
        raise ArchiveError(
            f"{where} has shape {y.shape} and type {y.dtype}; labels are (N,) class ids or (N, K) one-hot rows"
        )
    columns = y.shape[1] if y.ndim == 2 else None
    ids = _hot_columns(y, where) if columns else _whole_numbers(y, where)
    bad = (ids < 0) | (ids >= num_class) if num_class else ids < 0
    if bad.any():
        row = int(bad.argmax())
        limit = f"0..{num_class - 1}" if num_class else "0 and up"
        named = f" ({names[row]})" if names else ""
        raise ArchiveError(f"{where}: row {row}{named} is class {ids[row]}; classes are {limit}")
    return ids, columns


def _hot_columns(y: np.ndarray, where: str) -> np.ndarray:
    positive = y > 0
    bad = positive.sum(axis=1) != 1
    if y.dtype.kind == "f":
        bad |= ~np.isfinite(y).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        columns = np.flatnonzero(y[row])
        values = {int(k): y[row, k].item() for k in columns[:8]}
        more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
        raise ArchiveError(f"{where}: row {row} is not one-hot: its non-zero columns are {values or 'none'}{more}")
    return positive.argmax(axis=1).astype(np.int64)


def _whole_numbers(y: np.ndarray, where: str) -> np.ndarray:
    if y.dtype.kind == "f":
        bad = ~(np.isfinite(y) & (np.abs(y.astype(np.float64)) < 2**31))  # float16 cannot hold the bound
        bad |= np.where(bad, 0, y) % 1 != 0
        if bad.any():
            row = int(bad.argmax())
            raise ArchiveError(f"{where}: row {row} is {y[row].item()}; class ids are whole numbers")
    return y.astype(np.int64)
