"""The arrays that the programs read: skeleton features and logits of a folder, and the text features of the classes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.class_splits import Split
from skeleton_lab.data.archives.npy_format import open_npy
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, UsageError

LABELS = {"train": "train_label", "ztest": "z_label", "gtest": "g_label", "val": "val_label"}
SECOND = {"train": "gtest", "val": "val"}  # what a phase has beside train and ztest
MOUNT = "mount the host folder there (docker run --mount type=bind,source=<host folder>,target={target},readonly)"


@dataclass
class Part:
    """Sequences: features (N, V) float32 and labels (N,) int64, global class indices."""

    features: np.ndarray
    labels: np.ndarray


@dataclass
class Features:
    """What a phase of training reads; ``second`` is gtest or val."""

    train: Part
    ztest: Part
    second: Part
    warnings: list[str] = field(default_factory=list)

    @property
    def width(self) -> int:
        return self.train.features.shape[1]


def array(folder: Path, name: str, flag: str) -> np.ndarray:
    """``<folder>/<name>.npy`` as it is.

    Raises:
        ArchiveNotFoundError: no such folder or file; the message says what to mount.
        ArchiveError: damaged.
    """
    path = folder / f"{name}.npy"
    if not folder.is_dir():
        inside = MOUNT.format(target=folder.absolute())
        raise ArchiveNotFoundError(f"{flag} {folder}: there is no such folder; {inside}, or name another with {flag}")
    if not path.is_file():
        names = sorted(entry.name for entry in folder.glob("*.npy"))
        there = ", ".join(names[:12]) or "no .npy file"
        there += f" and {len(names) - 12} more" if len(names) > 12 else ""
        raise ArchiveNotFoundError(f"{path} is missing ({flag}; the folder holds {there}){_other_phase(folder, name)}")
    return open_npy(path).read()


def _other_phase(folder: Path, name: str) -> str:
    """What to do where the folder is one of the other phase."""
    for phase, second in SECOND.items():
        if (folder / f"{second}.npy").is_file() and name in SECOND.values() and name != second:
            return f": that is the layout of --phase {phase}; give that phase, or the folder of this one"
    return ": put the file there, or mount the folder that has it"


def numbers(folder: Path, name: str, *, columns: int | None = None, flag: str = "--dataset") -> np.ndarray:
    """A two-dimensional finite array as float32, with ``columns`` columns where that is known."""
    told = array(folder, name, flag)
    where = folder / f"{name}.npy"
    if told.ndim != 2 or not told.size:
        raise ArchiveError(f"{where}: shape {told.shape}; one row per sequence (N, width) is needed")
    if told.dtype.kind != "f":
        raise ArchiveError(f"{where}: {told.dtype} entries; float32 is needed")
    if columns is not None and told.shape[1] != columns:
        raise ArchiveError(f"{where}: {told.shape[1]} columns instead of {columns}")
    told = np.ascontiguousarray(told, np.float32)
    if not np.isfinite(told).all():
        row = int(np.flatnonzero(~np.isfinite(told).all(1))[0])
        raise ArchiveError(f"{where}: row {row} has NaN or infinite values; export it again")
    return told


def labels(folder: Path, name: str, num_class: int) -> np.ndarray:
    """One-dimensional class indices 0..num_class-1 as int64."""
    told = array(folder, name, "--dataset")
    where = folder / f"{name}.npy"
    if told.ndim != 1 or told.dtype.kind not in "iu" or not told.size:
        raise ArchiveError(f"{where}: {told.dtype} of shape {told.shape}; class indices (N,) of an integer type needed")
    outside = (told < 0) | (told >= num_class)
    if outside.any():
        row = int(outside.argmax())
        raise ArchiveError(f"{where}: row {row} has label {told[row]}, outside 0..{num_class - 1} (--ntu {num_class})")
    return told.astype(np.int64)


def same_rows(one: np.ndarray, name: object, other: np.ndarray, other_name: object) -> None:
    """ArchiveError unless two files have one row per sequence."""
    if len(one) != len(other):
        raise ArchiveError(f"{name} has {len(one)} rows, {other_name} {len(other)}; they must be of the same sequences")


def part(folder: Path, name: str, num_class: int) -> Part:
    """Features ``<name>.npy`` and their labels."""
    found = Part(numbers(folder, name), labels(folder, LABELS[name], num_class))
    if len(found.features) != len(found.labels):
        raise ArchiveError(
            f"{folder / name}.npy has {len(found.features)} rows, {LABELS[name]}.npy {len(found.labels)}; "
            "they must belong together"
        )
    return found


def checksum(part: Part) -> int:
    """Of features and labels, to tell whether scores are of these sequences."""
    return zlib.crc32(np.ascontiguousarray(part.labels), zlib.crc32(np.ascontiguousarray(part.features)))


def read(folder: Path, phase: str, split: Split, *, allow_leak: bool = False) -> Features:
    """The folder of a phase ("train" or "val"), checked.

    Raises:
        ArchiveNotFoundError: a file is missing.
        ArchiveError: wrong rank, width or rows, values that are not finite, labels out of range, test sequences of
            classes that are not unseen, or (without ``allow_leak``) unseen classes among the training sequences.
    """
    second_name = SECOND[phase]
    train, ztest, second = (part(folder, name, split.num_class) for name in ("train", "ztest", second_name))
    found = Features(train, ztest, second)
    for name, other in (("ztest", ztest), (second_name, second)):
        if other.features.shape[1] != found.width:
            raise ArchiveError(f"{folder / name}.npy: width {other.features.shape[1]}, train.npy has {found.width}")
    strange = ~np.isin(ztest.labels, split.unseen)
    if strange.any():
        raise ArchiveError(
            f"{folder / 'z_label.npy'}: class {ztest.labels[strange][0]} is not an unseen class of this split "
            f"({', '.join(map(str, split.unseen))}); --ss, --st and --phase must be those of the features"
        )
    leaked = np.intersect1d(train.labels, split.unseen)
    if leaked.size:
        what = f"{folder / 'train_label.npy'}: training sequences of unseen classes ({', '.join(map(str, leaked))})"
        if not allow_leak:
            raise ArchiveError(f"{what}; the result would not be zero-shot (--allow-leak trains all the same)")
        found.warnings.append(what)
    return found


def class_table(modes: str, encoder: str, num_class: int, root: Path) -> np.ndarray:
    """T (n, D) float32: the arrays of the text mode side by side in the written order, each row of length 1.

    Args:
        modes: ``--tm``, such as ``lb_ad_md``.
        encoder: ``--le``, the folder below ``root``.

    Raises:
        ArchiveNotFoundError, ArchiveError: a file is missing, has other than n rows or a row of zeros.
        UsageError: an empty name in ``modes``.
    """
    if not all(modes.split("_")):
        raise UsageError(f"--tm {modes}: names of text features joined by _, such as lb_ad_md")
    parts = []
    for mode in modes.split("_"):
        rows = numbers(root / encoder, f"{mode}_{num_class}", flag="--text_feats")
        if len(rows) != num_class:
            raise ArchiveError(f"{root / encoder / f'{mode}_{num_class}'}.npy: {len(rows)} rows instead of {num_class}")
        parts.append(rows)
    table = np.concatenate(parts, 1)
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    if not norms.all():
        raise ArchiveError(f"{root / encoder}: the text features {modes} of class {int(norms.argmin())} are all zero")
    return table / norms
