"""Opening a file that may be ill: what can be read is handed on, what cannot becomes a finding."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import about, npy_format
from skeleton_lab.data.archives.both_splits import alone, open_source, refuse_labels
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.locate import held
from skeleton_lab.data.archives.npy_format import StoredArray
from skeleton_lab.data.archives.opening import FLAT, JOINTS_5D, MEMBERS, PERSONS_5D, SPLITS
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import h5, npz
from skeleton_lab.doctor import said
from skeleton_lab.doctor.diagnosis import ERROR, NOTE, WARNING, Diagnosis, Member
from skeleton_lab.errors import ArchiveError, LabError, UsageError, listing
from skeleton_lab.skeletons.layouts import Layout

BLOCK_BYTES = 32 << 20
AGAIN = "get the file again; compare its size and checksum"
OTHERS = "the doctor looks at archives (docs/data.md); recordings and key points are read by predict.py and prepare.py"
BOTH = "training programs want both splits"
MOST_LABELS = 1 << 30  # bytes of a label member


@dataclass
class Part:
    """One split: coordinates as they are, block by block, labels as they are, names where the file tells them.

    ``shape`` is (N, T, M, V, C); ``flat`` says that the file has columns.  ``said`` are the clips with what the archive
    says of them (``archives.about``), None of a published layout of NPZ and HDF5.
    """

    split: str
    key: str
    shape: tuple[int, int, int, int, int]
    blocks: Callable[[], Iterator[np.ndarray]]
    y: np.ndarray | None = None
    names: list[str] | None = None
    flat: bool = False
    said: Clips | None = None

    @property
    def ntu(self) -> bool:
        """Whether the joints are those of NTU RGB+D in space, as far as anybody says."""
        told = self.said.skeleton if self.said else None
        scored = self.said is not None and self.said.scored
        return self.shape[3:] == (25, 3) and not scored and (told is None or told.name == "ntu25")

    @property
    def class_names(self) -> tuple[str, ...]:
        return (self.said.class_names if self.said else None) or ()

    def clip(self, row: int) -> str:
        """``clip 3``, and its name where the file tells one."""
        return f"clip {int(row)}" + (f" ({self.names[int(row)]})" if self.names else "")


def take_in(path: Path, label_path: Path | None, layout: str | None) -> tuple[Diagnosis, list[Part]]:
    """The parts of an archive that can be examined, and the findings about the rest.

    Raises:
        ArchiveNotFoundError: the path does not exist.
    """
    with parsing(path):
        path.stat()
    path = held(path)
    if path.is_file():
        with parsing(path), open(path, "rb") as file:
            start = file.read(8)
        for magic, kind, word in ((npz.MAGIC, npz.Npz, "NPZ"), (h5.MAGIC, h5.H5, "HDF5")):
            if start.startswith(magic):
                refuse_labels(path, label_path)
                diagnosis = Diagnosis(str(path), word)
                return diagnosis, _members(path, kind, diagnosis)
    diagnosis = Diagnosis(str(path), "unknown")
    return diagnosis, _others(path, label_path, layout, diagnosis)


def _others(path: Path, label_path, layout: str | None, diagnosis: Diagnosis) -> list[Part]:
    """Layouts that keep every clip apart: what the reader itself refuses is the finding."""
    try:
        opened = open_source(path, label_path=label_path, layout=layout)
    except UsageError:
        raise  # a question to the user: which benchmark of the pickle?
    except LabError as error:
        diagnosis.add(ERROR, *fault(error))
        return []
    if len(opened) == 1 and not alone(path):
        diagnosis.add(WARNING, "one-split", f"there are only {next(iter(opened))} clips", BOTH)
    for line in dict.fromkeys(line for clips in opened.values() for line in clips.unread):
        wanted = line.startswith("splits") and ":" in (layout or "")  # the user has chosen among them
        diagnosis.add(NOTE if wanted else WARNING, "not-read", line, "nothing is trained or tested on that")
    parts = []
    for split, clips in opened.items():
        diagnosis.layout = clips.layout
        shape = (len(clips), clips.T, clips.M, clips.V, clips.C)
        key = clips.key or split
        diagnosis.members.append(Member(key, (shape[0], clips.C, clips.T, clips.V, clips.M), "float32"))
        parts.append(Part(split, key, shape, _reader(clips), clips.labels, clips.names, said=clips))
    return parts


def _reader(clips: Clips) -> Callable[[], Iterator[np.ndarray]]:
    size = max(1, BLOCK_BYTES // (4 * clips.T * clips.M * clips.V * clips.C))

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(clips), size):
            index = np.arange(start, min(start + size, len(clips)))
            yield clips.gather(index, np.broadcast_to(np.arange(clips.T), (len(index), clips.T)))

    return blocks


def _members(path: Path, kind: type, diagnosis: Diagnosis) -> list[Part]:
    try:
        file = kind(path)
        keys = file.keys()
    except LabError as error:
        diagnosis.add(ERROR, *fault(error))
        return []
    arrays: dict[str, StoredArray] = {}
    for key in keys:
        try:
            arrays[key] = file.array(key)
        except LabError as error:
            level = ERROR if key in MEMBERS else WARNING
            diagnosis.add(level, *fault(error))
            continue
        array = arrays[key]
        compressed = isinstance(array, (npz.DeflatedArray, h5.ChunkedArray))
        diagnosis.members.append(Member(key, array.shape, str(array.dtype), compressed))
        if isinstance(array, StoredArray) and kind is npz.Npz:
            arrays[key] = _checked(array)
    broken = {key for key in keys if key not in arrays}
    there = [split for split in SPLITS if {f"x_{split}", f"y_{split}"} & set(keys)]
    if len(there) == 1:
        diagnosis.add(WARNING, "one-split", f"there are only {there[0]} clips", BOTH)
    skeleton = said.skeleton(file, diagnosis) if "skeleton" in arrays else None
    _others_keys([key for key in keys if skeleton is None or key not in about.MEMBERS], diagnosis)
    parts = [_part(split, arrays, broken, skeleton, diagnosis) for split in there or SPLITS]
    whole = [part for part in parts if part is not None]
    for part in whole if skeleton is not None else ():
        part.said = said.clips(file, part.split, part.shape, part.y, diagnosis)
    return whole


def fault(error: LabError) -> tuple[str, str, str]:
    """Code, message and advice for what a reader has refused."""
    text = str(error)
    if "Python objects" in text:
        return "objects", text, "nothing is damaged: write that array again with a plain type"
    if "NaN" in text:
        return "nan", text, "leave out what the line names"
    if "cut short" in text or "ends early" in text:
        return "truncated", text, AGAIN
    if "damaged" in text or isinstance(error.__cause__, zipfile.BadZipFile):
        return "damaged", text, AGAIN
    foreign = any(words in text for words in ("is no archive", "in no known format", "but not of PYSKL"))
    return "unreadable", text, OTHERS if foreign else "put right or leave out what the line names"


def _others_keys(keys: Sequence[str], diagnosis: Diagnosis) -> None:
    """Members that no reader looks at, and most of all splits under another name."""
    others = [key for key in keys if key not in MEMBERS]
    if not others:
        return
    parts = sorted({key.partition("_")[2] for key in others if key.startswith(("x_", "y_"))})
    advice = f"splits called {listing(parts)} are not read: call them train or test" if parts else ""
    diagnosis.add(WARNING if parts else NOTE, "not-read", f"members that are not read: {listing(others)}", advice)


def _checked(array: StoredArray) -> StoredArray:
    """The member read through the ZIP library, which compares its checksum."""
    if isinstance(array, npz.DeflatedArray) or array.fortran:
        return array
    with open(array.path, "rb") as file:
        header = _header_before(file, array)
    return npz.DeflatedArray(array.path, array.key, array.shape, array.dtype, array.fortran, None, header)


def _header_before(file, array: StoredArray) -> int:
    """Bytes of the ``.npy`` header that ends where the member's data begins."""
    assert array.offset is not None
    reach = min(array.offset, npy_format.LONGEST_HEADER + 16)
    file.seek(array.offset - reach)
    return reach - file.read(reach).rfind(npy_format.MAGIC)


def _part(
    split: str, arrays: dict[str, StoredArray], broken: set[str], skeleton: Layout | None, diagnosis: Diagnosis
) -> Part | None:
    for key in (f"x_{split}", f"y_{split}"):
        if key not in arrays and key not in broken:
            diagnosis.add(
                ERROR, "missing-key", f"there is no member {key}; the file has {listing(arrays)}",
                "wanted are x_train, y_train, x_test, y_test",
            )  # fmt: skip
    x, y = arrays.get(f"x_{split}"), arrays.get(f"y_{split}")
    if x is None:
        return None
    shape = _shape(x, skeleton, diagnosis)
    if shape is None:
        return None
    part = Part(split, x.key, shape, _blocks(x, shape), flat=len(x.shape) == 3)
    if y is not None:
        part.y = _labels(y, x, diagnosis)
    name = arrays.get(f"name_{split}")
    if name is not None and name.shape == (shape[0],) and name.dtype.kind in "US":
        part.names = name.read().astype(str).tolist()
    return part


def _labels(y: StoredArray, x: StoredArray, diagnosis: Diagnosis) -> np.ndarray | None:
    if not y.shape or y.shape[0] != x.shape[0]:
        diagnosis.add(
            ERROR, "lengths", f"{x.key} has {x.shape[0]} clips, {y.key} has shape {y.shape}",
            "labels and clips do not belong together; make the file again",
        )  # fmt: skip
        return None
    if y.nbytes > MOST_LABELS:
        diagnosis.add(ERROR, "label-shape", f"{y.key} has shape {y.shape}: too large for labels")
        return None
    try:
        return y.read()
    except ArchiveError as error:
        diagnosis.add(ERROR, *fault(error))
        return None


def _shape(x: StoredArray, skeleton: Layout | None, diagnosis: Diagnosis) -> tuple[int, int, int, int, int] | None:
    """(N, T, M, V, C), or None with a finding."""
    if x.dtype.kind != "f":
        diagnosis.add(ERROR, "type", f"{x.key} has type {x.dtype}; coordinates are floating point numbers")
        return None
    if not all(x.shape):
        diagnosis.add(ERROR, "empty", f"{x.key} has shape {x.shape}: it holds nothing")
        return None
    if len(x.shape) == 3 and x.shape[2] in FLAT:
        V, M = FLAT[x.shape[2]]
        diagnosis.layout = "Kaggle layout"
        return x.shape[0], x.shape[1], M, V, 3
    if len(x.shape) == 5:
        N, C, T, V, M = x.shape
        joints = (*JOINTS_5D, 18, 20) if skeleton is None else (skeleton.V,)
        if C in (2, 3) and 1 <= M <= PERSONS_5D and V in joints:
            diagnosis.layout = "5-D layout"
            return N, T, M, V, C
        if skeleton is not None and V != skeleton.V:
            diagnosis.add(
                ERROR, "skeleton", f"{x.key} has {V} joints, its skeleton {skeleton.name} has {skeleton.V}",
                "name the skeleton of these joints, or make the file again",
            )  # fmt: skip
            return None
    diagnosis.add(
        ERROR, "shape", f"{x.key} has shape {x.shape}{_guess(x.shape)}",
        "accepted are (N, T, 150), (N, T, 75), (N, T, 102) and (N, C, T, V, M) in exactly that order",
    )  # fmt: skip
    return None


def _guess(shape: tuple[int, ...]) -> str:
    if len(shape) == 5 and sorted(shape[1:])[0] in (1, 2) and 3 in shape[1:] and 25 in shape[1:]:
        return ": the axes are there, in another order"
    if len(shape) == 3 and shape[1] in FLAT:
        return ": frames and columns have changed places"
    return ""


def _blocks(x: StoredArray, shape: tuple[int, int, int, int, int]) -> Callable[[], Iterator[np.ndarray]]:
    """Blocks (B, T, M, V, C) float32, NaN and all."""
    _, T, M, V, C = shape
    size = max(1, BLOCK_BYTES // (x.dtype.itemsize * T * M * V * C))

    def blocks() -> Iterator[np.ndarray]:
        for block in x.blocks(size):
            with np.errstate(over="ignore", invalid="ignore"):
                block = block.astype(np.float32, copy=False)
            five = block.reshape(-1, T, M, V, C) if block.ndim == 3 else block.transpose(0, 2, 4, 3, 1)
            yield np.ascontiguousarray(five)

    return blocks
