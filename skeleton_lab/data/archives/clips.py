"""Random access to the clips of one split: ``Clips``, and the form of it that reads a mapped array in place."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.column_order import Order
from skeleton_lab.data.archives.npy_format import StoredArray
from skeleton_lab.errors import ArchiveError
from skeleton_lab.skeletons.layouts import Layout

FLOAT = np.dtype(np.float32)


class Clips:
    """The clips of one split of an archive, in file order.

    Attributes:
        path: the archive; key: the member with the coordinates, for messages.
        layout: "kaggle", "5d", "npy", "nw-ucla", "pyskl", "kinetics"; packed clips keep the layout they came from.
        labels: (N,) int64 class ids. num_class: columns of a one-hot file, else None.
        names: the sample names that the archive tells, else None.
        subjects: (N,) int64 performer of each clip where the archive tells, else None.
        subject_names: what the archive calls its subjects, by their number in ``subjects``, where they have names.
        has_skeleton: (N,) bool of a Kinetics folder, else None.
        skeleton: the order of joints, where the archive or its format says it (``about``), else None.
        units: of the coordinates, one of ``skeletons.layouts.UNITS``, or None where nothing says.
        scored: the last channel is no coordinate but the score of a joint.
        img_shape: (N, 2) int64 height and width of each clip's picture in pixels where the archive tells, else None.
        class_names: of the classes 0..K-1 where the archive tells, else None.
        frames: (N,) int64 recorded frames of each clip, empty ones at its end too, where the archive tells, else None.
        unread: what the archive holds besides, and neither split reads: a line each.
        C, T, V, M: coordinates, frames (padded length; the longest clip of a ragged archive), joints, persons.

    Objects can be pickled and forked: files are opened again by path, arrays of coordinates do not travel.
    """

    def __init__(
        self,
        path: Path,
        layout: str,
        shape: tuple[int, int, int, int],
        labels: np.ndarray,
        *,
        key: str = "",
        num_class: int | None = None,
        names: Sequence[str] | None = None,
        subjects: np.ndarray | None = None,
        has_skeleton: np.ndarray | None = None,
        order: Order | None = None,
    ):
        self.path, self.layout, self.key = Path(path), layout, key
        self.C, self.T, self.V, self.M = shape
        self.labels = np.asarray(labels, np.int64)
        self.num_class = num_class
        self.names = None if names is None else [str(name) for name in names]
        self.subjects, self.has_skeleton = subjects, has_skeleton
        self.subject_names: tuple[str, ...] | None = None
        self.skeleton: Layout | None = None
        self.units: str | None = None
        self.scored = False
        self.img_shape: np.ndarray | None = None
        self.class_names: tuple[str, ...] | None = None
        self.frames: np.ndarray | None = None
        self.unread: list[str] = []
        self._order = order
        self._people: int | None = None  # so many are read of each clip; None: all
        self._at: np.ndarray | None = None  # place of each clip in the archive; None: all, in order

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<{len(self)} clips of {self.path}: C={self.C}, T={self.T}, V={self.V}, M={self.M}>"

    def lengths(self, idx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames of clips: ``n``, how many hold a non-zero value, and ``e``, 1 + the last that does; (B,) int64 each.

        Found when a clip is first touched, and remembered.

        Raises:
            ArchiveError: a coordinate is NaN or infinite.
        """
        return self._lengths(self._stored(idx))

    def recorded(self, idx: np.ndarray) -> np.ndarray:
        """Frames of clips, (B,) int64: as many as the archive says, else those up to the last that is not empty."""
        e = self.lengths(idx)[1]
        return e if self.frames is None else np.maximum(self.frames[np.asarray(idx, np.int64)], e)

    def gather(self, idx: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Frames of clips: idx (B,), frames (B, W) -> (B, W, M, V, C) float32; zeros for frames outside the clip.

        Raises:
            ArchiveError: a coordinate of a clip that is touched for the first time is NaN or infinite.
        """
        out = self._gather(self._stored(idx), np.asarray(frames, np.int64))
        out = out if self._order is None else self._order(out)
        return out[:, :, : self._people]

    def first_people(self, count: int) -> Clips:
        """The same clips with at most ``count`` people each, as a view; ``M`` stays what is stored."""
        view = copy.copy(self)
        view._people = count
        return view

    def clips(self, idx: np.ndarray) -> np.ndarray:
        """Whole clips, padded with zeros: idx (B,) -> (B, C, T, V, M) float32."""
        frames = np.broadcast_to(np.arange(self.T), (len(idx), self.T))
        return np.ascontiguousarray(self.gather(idx, frames).transpose(0, 4, 1, 3, 2))

    def subset(self, indices: np.ndarray | Sequence[int]) -> Clips:
        """The clips ``indices``, in that order, as a view: what is remembered of a clip is shared."""
        indices = np.asarray(indices, np.int64).reshape(-1)
        view = copy.copy(self)
        view._at = self._stored(indices)
        view.labels = self.labels[indices]
        view.names = None if self.names is None else [self.names[i] for i in indices]
        view.subjects = None if self.subjects is None else self.subjects[indices]
        view.has_skeleton = None if self.has_skeleton is None else self.has_skeleton[indices]
        view.img_shape = None if self.img_shape is None else self.img_shape[indices]
        view.frames = None if self.frames is None else self.frames[indices]
        return view

    def places(self, idx: np.ndarray) -> np.ndarray:
        """(B,) int64, where the clips stand in the archive, whatever ``subset`` has made of it."""
        return self._stored(idx)

    def in_stored_order(self) -> Clips:
        """The clips in the order in which the archive holds them: of a pickle not that of its split lists."""
        return self.subset(np.argsort(self._stored(np.arange(len(self))), kind="stable"))

    def _stored(self, idx: np.ndarray) -> np.ndarray:
        idx = np.asarray(idx, np.int64)
        if idx.size and not (idx.min() >= 0 and idx.max() < len(self)):
            raise IndexError(f"clip {idx.min() if idx.min() < 0 else idx.max()} of {len(self)}")
        return idx if self._at is None else self._at[idx]

    def _shown(self, clip: int) -> str:
        """A clip by its place in the archive, and by its name where the archive tells one."""
        rows = np.array([clip]) if self._at is None else np.flatnonzero(self._at == clip)
        return f"{clip} ({self.names[rows[0]]})" if self.names and len(rows) else str(clip)

    def _lengths(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def _gather(self, at: np.ndarray, frames: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class ClipsOfAFile(Clips):
    """Clips whose rows are a memory map, which a copy in another process opens anew instead of carrying it over."""

    def _open(self) -> None:
        """Map the rows: ``_rows``."""
        raise NotImplementedError

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "_rows"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()


class MappedClips(ClipsOfAFile):
    """Clips of an array that lies in one piece in its file: (N, T, M*V*C) or (N, C, T, V, M).

    Both are ``planes`` runs of T rows per clip (1 run of M*V*C values, or C runs of V*M values), so a batch is one
    ``np.take`` of rows. It works on bytes: NPZ members begin at any address, and NumPy would copy the whole of an
    array that is not aligned. Lengths are found by reading the clip into a small aligned buffer: cheaper than
    faulting in the map's pages, of which most hold padding.
    """

    def __init__(
        self, array: StoredArray, layout: str, shape: tuple[int, int, int, int], labels: np.ndarray, **kwargs: Any
    ):
        super().__init__(array.path, layout, shape, labels, key=array.key, **kwargs)
        self._array = array
        self._planes = self.C if len(array.shape) == 5 else 1
        self._width = self.C * self.V * self.M // self._planes  # values in a row
        count = array.shape[0]
        self._n = np.full(count, -1, np.int64)
        self._e = np.zeros(count, np.int64)
        self._open()

    def _open(self) -> None:
        array = self._array
        row = self._width * array.dtype.itemsize
        self._rows = np.memmap(array.path, np.uint8, "r", array.offset, (array.nbytes // row, row)).view(np.ndarray)

    def _lengths(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = self._n[at]
        if (n < 0).any():
            buffer = np.empty((self._planes * self.T, self._width), self._array.dtype)
            with open(self.path, "rb", buffering=0) as file, np.errstate(over="ignore", invalid="ignore"):
                for clip in np.unique(at[n < 0]).tolist():
                    self._measure(clip, file.fileno(), buffer)
            n = self._n[at]
        return n, self._e[at]

    def _measure(self, clip: int, file: int, buffer: np.ndarray) -> None:
        size = buffer.nbytes
        if os.preadv(file, [buffer.reshape(-1).view(np.uint8)], self._array.offset + clip * size) < size:
            shown = self._shown(clip)
            raise ArchiveError(f"{self.path}: {self.key} ends inside sample {shown}: the file has become shorter")
        rows = buffer if buffer.dtype == FLOAT else _as_float32(buffer)
        present = _nonzero_rows(rows)
        if self._planes > 1:
            present = present.reshape(self._planes, self.T).any(axis=0)
        frames = present.nonzero()[0]
        e = int(frames[-1]) + 1 if len(frames) else 0
        # One product finds NaN and Inf; it may also overflow, so a bad result is looked at again.
        flat = (rows[:e] if self._planes == 1 else rows).reshape(-1)
        if not np.isfinite(np.dot(flat, flat)):
            self._refuse_non_finite(rows, clip)
        self._n[clip], self._e[clip] = len(frames), e

    def _refuse_non_finite(self, rows: np.ndarray, clip: int) -> None:
        bad = (~np.isfinite(rows)).any(axis=1)
        if bad.any():
            frame = int(bad.reshape(self._planes, self.T).any(axis=0).argmax())
            raise non_finite(self.path, self.key, self._shown(clip), frame)

    def _gather(self, at: np.ndarray, frames: np.ndarray) -> np.ndarray:
        self._lengths(at)
        B, W = frames.shape
        planes = at[:, None] * self._planes + np.arange(self._planes)
        rows = planes[:, :, None] * self.T + frames[:, None, :]  # (B, planes, W)
        out = np.empty((B, self._planes, W, self._width), self._array.dtype)
        np.take(self._rows, rows, axis=0, out=out.view(np.uint8), mode="clip")
        outside = (frames < 0) | (frames >= self.T)
        if outside.any():
            out.transpose(0, 2, 1, 3)[outside] = 0
        if out.dtype != FLOAT:
            out = _as_float32(out)
        if self._planes == 1:
            return out.reshape(B, W, self.M, self.V, self.C)
        out = out.reshape(B, self.C, W, self.V, self.M)
        return np.ascontiguousarray(out.transpose(0, 2, 4, 3, 1))


def _nonzero_rows(rows: np.ndarray) -> np.ndarray:
    """Which rows of a contiguous (R, K) float32 array hold anything but +-0: a bitwise or, twice as fast as ``any``."""
    if rows.shape[1] % 2 == 0:
        bits, mask = rows.view(np.uint64), np.uint64(0x7FFFFFFF7FFFFFFF)
    else:
        bits, mask = rows.view(np.uint32), np.uint32(0x7FFFFFFF)
    return (np.bitwise_or.reduce(bits, axis=1) & mask) != 0


def _as_float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes Inf, and is refused as such
        return values.astype(FLOAT)


def non_finite(path: Path, key: str, sample: int | str, frame: int) -> ArchiveError:
    """The error for a coordinate that is NaN or infinite."""
    where = f"{key}: " if key else ""
    return ArchiveError(
        f"{path}: {where}sample {sample} holds NaN or Inf (or a value beyond float32), first in frame {frame}; "
        "repair or leave out that clip"
    )
