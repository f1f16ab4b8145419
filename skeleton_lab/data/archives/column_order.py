"""The orders of the 150 columns that exist in the wild.

The Kaggle file has person, joint, coordinate: column 75m + 3v + c. Two published converters read it otherwise and
scrambled joints, axes and persons while keeping every shape:

    "vcm"   joint, coordinate, person: column 6v + 2c + m    (skeleton5d/CTR converter, MS-G3D Kaggle feeder)
    "cvm"   coordinate, joint, person: column 50c + 2v + m   (CTR-to-MS-G3D converter)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skeleton_lab.errors import ArchiveError, UsageError, nearest

if TYPE_CHECKING:
    from skeleton_lab.data.archives.npy_format import StoredArray

_AXES = {"vcm": (3, 4, 2), "cvm": (4, 3, 2)}  # of (B, W, M, V, C)


@dataclass(frozen=True)
class Order:
    """Rearranges (B, W, M, V, C): ``repair`` puts scrambled clips right, otherwise right ones are scrambled."""

    name: str
    repair: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        axes = (0, 1, *_AXES[self.name])
        if self.repair:
            return np.ascontiguousarray(x.transpose(axes)).reshape(x.shape)
        wrong = x.reshape([x.shape[a] for a in axes])
        return np.ascontiguousarray(wrong.transpose(np.argsort(axes)))


LAYOUTS: dict[str, Order | None] = {
    "kaggle": None,  # columns person, joint, coordinate
    "5d": None,  # as it stands, without the check below
    "scrambled-vcm": Order("vcm", repair=False),  # a Kaggle file as the wrong readers saw it,
    "scrambled-cvm": Order("cvm", repair=False),  # for weights trained that way
    "repair-vcm": Order("vcm", repair=True),  # a 5-D file that the wrong converters wrote, put right
    "repair-cvm": Order("cvm", repair=True),
}


def choose(layout: str | None, ndim: int) -> Order | None:
    """The rearrangement that ``layout`` asks for, for an array of ``ndim`` axes.

    Raises:
        UsageError: no such layout, or not for an array of this shape.
    """
    if layout is None:
        return None
    if layout not in LAYOUTS:
        raise UsageError(f"layout '{layout}': choose from {', '.join(LAYOUTS)}.{nearest(layout, LAYOUTS)}")
    flat = layout == "kaggle" or layout.startswith("scrambled")
    if flat != (ndim == 3):
        raise UsageError(f"layout '{layout}' is for {'3-D (N, T, 150)' if flat else '5-D (N, C, T, V, M)'} arrays")
    return LAYOUTS[layout]


def fitting(order: Order, array: StoredArray, shape: tuple[int, int, int, int]) -> Order:
    """``order``, if an array of this (C, T, V, M) can have been scrambled that way.

    Raises:
        ArchiveError: the orders are about two persons of 25 joints with three coordinates.
    """
    C, _, V, M = shape
    if (C, V, M) != (3, 25, 2):
        raise ArchiveError(f"{array.path}: {array.key} has shape {array.shape}; layout {order.name} is for 150 columns")
    return order
