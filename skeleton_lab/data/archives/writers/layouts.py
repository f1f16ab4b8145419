"""Archives written from clips, in every layout that the lab reads: block by block, complete or not at all."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skeleton_lab.data.archives import about, ntu_published
from skeleton_lab.data.archives.both_splits import PARTS
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.opening import PERSONS_5D
from skeleton_lab.data.archives.prenormalize import normalise
from skeleton_lab.data.archives.readers import kinetics, nw_ucla
from skeleton_lab.data.archives.writers.streaming import EARLIEST, Rows, Streamed, write_npy, write_streamed_pickle
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.atomic import file_names, temporary_name, write_atomically

BLOCK_BYTES = 46 << 20  # of coordinates in memory: 256 clips of the Kaggle layout
FLAT = {(25, 2): 150, (25, 1): 75, (17, 2): 102}  # (V, M) of the layouts with columns


@dataclass
class Material:
    """The clips to be written, and how.

    Attributes:
        clips: of one split.
        labels: (N,) int64, from 0. names: of the clips, or None.
        T, M: frames and persons of padded arrays.
        num_class: columns of one-hot labels.
        normalised: turn every clip as MS-G3D's pre-normalisation does; for arrays of 300 frames.
        tick: called with the number of clips done.
    """

    clips: Clips
    labels: np.ndarray
    names: list[str] | None
    T: int
    M: int
    num_class: int
    normalised: bool
    tick: Callable[[int], Any]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.clips.C, self.T, self.clips.V, self.M

    def blocks(self) -> Iterator[np.ndarray]:
        """(B, T, M, V, C) float32, all clips in order."""
        C, T, V, M = self.shape
        size = max(1, BLOCK_BYTES // (4 * C * T * V * max(M, self.clips.M)))
        for start in range(0, len(self), size):
            index = np.arange(start, min(start + size, len(self)))
            x = self._fresh().gather(index, np.broadcast_to(np.arange(T), (len(index), T)))
            if self.clips.M < M:
                x = np.pad(x, ((0, 0), (0, 0), (0, M - self.clips.M), (0, 0), (0, 0)))
            x = x[:, :, :M]
            yield np.stack([turned(clip) for clip in x]) if self.normalised else x
            self.tick(len(index))

    def single(self) -> Iterator[tuple[int, np.ndarray]]:
        """Clip by clip, without padding: its place and (t, M, V, C) float32, t at least 1."""
        clips = self.clips
        for i in range(len(self)):
            if i % 256 == 0:
                clips = self._fresh()
            length = max(int(clips.lengths(np.array([i]))[1][0]), 1)
            yield i, clips.gather(np.array([i]), np.arange(length)[None])[0]
            self.tick(1)

    def _fresh(self) -> Clips:
        """The clips with a map of their own: dropping it gives back the pages that were read through it."""
        return copy.copy(self.clips)

    def one_hot(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), 8192):
            yield np.eye(self.num_class)[self.labels[start : start + 8192]]


def turned(clip: np.ndarray) -> np.ndarray:
    """One clip (300, 2, 25, 3) as MS-G3D's own generator makes it."""
    filled = np.flatnonzero(clip.any(axis=(1, 2, 3)))
    if not len(filled):
        return clip
    x = normalise(clip[: filled[-1] + 1].transpose(1, 0, 2, 3))  # (M, period, V, C)
    return x[:, np.arange(len(clip)) % x.shape[1]].transpose(1, 0, 2, 3)


Materials = dict[str, Material]


def _texts(materials: Materials, form: str) -> dict[str, Rows]:
    """Names of the clips, and what the archive says of them (``about``)."""
    made = {}
    for split, m in materials.items():
        if m.names is not None:
            names = np.array(m.names)
            made[f"name_{split}"] = Rows(names.shape, names.dtype, [names])
    said = about.members({split: m.clips for split, m in materials.items()}, form)
    return made | {key: Rows(value.shape, value.dtype, [value]) for key, value in said.items()}


def write_npz(path: Path, members: dict[str, Rows], compress: bool) -> list[Path]:
    """An NPZ of members that are stored, and so can be mapped, or deflated."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", method, allowZip64=True) as archive:
            for key, rows in members.items():
                entry = zipfile.ZipInfo(f"{key}.npy", EARLIEST)
                entry.compress_type = method
                with archive.open(entry, "w", force_zip64=True) as member:
                    rows.write(member)

    return [write_atomically(path, write)]


def kaggle_members(materials: Materials) -> dict[str, Rows]:
    """x (N, T, M*V*C) float32, columns person, joint, coordinate; y (N, K) float64 one-hot."""
    made = {}
    for split, m in materials.items():
        C, T, V, M = m.shape
        made[f"x_{split}"] = Rows((len(m), T, M * V * C), np.dtype(np.float32), m.blocks())
        made[f"y_{split}"] = Rows((len(m), m.num_class), np.dtype(np.float64), m.one_hot())
    return made | _texts(materials, "kaggle")


def five_members(materials: Materials) -> dict[str, Rows]:
    """x (N, C, T, V, M) float32; y (N,) int64."""
    made = {}
    for split, m in materials.items():
        if m.M > PERSONS_5D:
            raise UsageError(
                f"{m.clips.path} has places for {m.M} persons, NPZ and HDF5 for two: --persons 2 keeps the first two, "
                "--to npy all"
            )
        rows = (x.transpose(0, 4, 1, 3, 2) for x in m.blocks())
        made[f"x_{split}"] = Rows((len(m), *m.shape), np.dtype(np.float32), rows)
        made[f"y_{split}"] = Rows((len(m),), np.dtype(np.int64), [m.labels])
    return made | _texts(materials, "5d")


def write_kaggle(path: Path, materials: Materials, compress: bool) -> list[Path]:
    for m in materials.values():
        if m.clips.C != 3 or (m.clips.V, m.M) not in FLAT:
            raise UsageError(
                f"the Kaggle layout has 25 joints of 3 coordinates (or 17, of two persons); {m.clips.path} has "
                f"V={m.clips.V}, C={m.clips.C}, M={m.M}: write --to 5d instead"
            )
    return write_npz(path, kaggle_members(materials), compress)


def write_five(path: Path, materials: Materials, compress: bool) -> list[Path]:
    return write_npz(path, five_members(materials), compress)


def write_h5(path: Path, materials: Materials, compress: bool) -> list[Path]:
    """HDF5 with the members of the 5-D layout; contiguous, and so mappable, unless compressed."""
    try:
        import h5py
    except ImportError as error:
        raise UsageError("writing HDF5 needs h5py: pip install 'skeleton-lab[h5]'") from error

    def write(file: BinaryIO) -> None:
        with h5py.File(file.name, "w", locking=False) as archive:  # by name, and ours is the lock
            for key, rows in five_members(materials).items():
                blocks, kind = rows.rows, rows.dtype
                if kind.kind == "U":
                    # Names of a fixed width: those of variable width lie in a heap that sends the library astray
                    # where it is damaged.
                    blocks = [np.char.encode(blocks[0], "utf-8")]
                    kind = blocks[0].dtype
                if not rows.shape:  # one text: no chunks that could be compressed
                    archive.create_dataset(key, data=blocks[0])
                    continue
                data = archive.create_dataset(key, rows.shape, kind, **({"compression": "gzip"} if compress else {}))
                start = 0
                for block in blocks:
                    data[start : start + len(block)] = block
                    start += len(block)

    return [write_atomically(path, write)]


def write_npy_folder(folder: Path, materials: Materials, compress: bool) -> list[Path]:
    """``{train,val}_data.npy``, the same as ``_data_joint.npy`` (a hard link where possible), ``_label.pkl``."""
    written = []
    for split, m in materials.items():
        part = PARTS[split]
        rows = (x.transpose(0, 4, 1, 3, 2) for x in m.blocks())
        data = write_npy(folder / f"{part}_data.npy", Rows((len(m), *m.shape), np.dtype(np.float32), rows))
        names = m.names or [str(i) for i in range(len(m))]
        pair = pickle.dumps((names, m.labels.tolist()), protocol=2)
        label = write_atomically(folder / f"{part}_label.pkl", lambda file, pair=pair: file.write(pair))
        written += [data, _twin(data, folder / f"{part}_data_joint.npy"), label]
    return written


def _twin(path: Path, other: Path) -> Path:
    """A second name of a file, or a copy where the file system has no hard links."""
    temporary = temporary_name(other)
    try:
        os.link(path, temporary)
    except OSError:
        with open(path, "rb") as source:
            return write_atomically(other, lambda file: shutil.copyfileobj(source, file, 1 << 24))
    temporary.replace(other)
    return other


def write_pyskl(path: Path, materials: Materials, compress: bool, benchmark: str) -> list[Path]:
    """A PYSKL annotation pickle, key points float32 (M, T, V, C) without padding."""
    found = ntu_published.names_of_rows({split: m.labels for split, m in materials.items()})
    names = {split: m.names or (found[1][split] if found else []) for split, m in materials.items()}
    if len({name for part in names.values() for name in part}) < sum(map(len, materials.values())):
        # The format knows a clip by its name alone, so names must differ.
        names = {split: [f"{PARTS[split]}_{i:06d}" for i in range(len(m))] for split, m in materials.items()}
    said = about.members({split: m.clips for split, m in materials.items()}, "pyskl")
    whole = {key: value.tolist() for key, value in said.items() if key in about.OF_ALL and key != "channels"}
    content = {
        **whole,
        "split": {f"{benchmark}_{PARTS[split]}": part for split, part in names.items()},
        "annotations": Streamed(_annotations(materials, names)),
    }
    return [write_streamed_pickle(path, content)]


def _annotations(materials: Materials, names: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    for split, m in materials.items():
        for i, x in m.single():
            persons = max(int(np.flatnonzero(x.any(axis=(0, 2, 3))).max(initial=0)) + 1, 1)
            key_points = np.ascontiguousarray(x[:, :persons].transpose(1, 0, 2, 3))
            made = {"frame_dir": names[split][i], "total_frames": len(x), "label": int(m.labels[i])}
            if m.clips.img_shape is not None:
                made["img_shape"] = made["original_shape"] = tuple(m.clips.img_shape[i].tolist())
            if m.clips.scored:  # in the image: x, y and a score
                made["keypoint_score"], key_points = key_points[..., 2], np.ascontiguousarray(key_points[..., :2])
            elif m.clips.C == 2:  # the format has no key points without a score: 1 where there is one
                made["keypoint_score"] = key_points.any(axis=3).astype(np.float32)
            yield made | {"keypoint": key_points}


def write_ucla(folder: Path, materials: Materials, compress: bool) -> list[Path]:
    """One JSON per clip under its NW-UCLA name, which also says its split."""
    written = []
    files = {split: file_names(m.names or (), ".json", m.clips.path) for split, m in materials.items()}
    if twice := set.intersection(*map(set, files.values())) if len(files) > 1 else None:
        raise UsageError(f"both splits hold {min(twice)}: its files would replace each other")
    for split, m in materials.items():
        fits = m.names is not None and all(nw_ucla.FILE_NAME.fullmatch(f"{name}.json") for name in m.names)
        if m.clips.V != nw_ucla.JOINTS or m.clips.C != 3 or not fits:
            raise UsageError(
                f"NW-UCLA JSON has 20 joints and names such as a01_s01_e00_v01; {m.clips.path} ({split}) has "
                f"{m.clips.V} joints{'' if fits else ' and other names'}"
            )
        for i, x in m.single():
            name = m.names[i]
            content = {"file_name": name, "skeletons": x[:, 0].tolist(), "label": int(m.labels[i]) + 1}
            written.append(_json(folder / files[split][i], content))
    return written


def write_kinetics(folder: Path, materials: Materials, compress: bool) -> list[Path]:
    """``kinetics_{train,val}/<name>.json`` and ``kinetics_{train,val}_label.json``."""
    written, files = [], {}
    for split, m in materials.items():
        names = m.names or [f"clip_{i:06d}" for i in range(len(m))]
        files[split] = file_names(names, ".json", m.clips.path)  # of both splits before anything is written
        if m.clips.V != kinetics.JOINTS or m.clips.C != 3:
            raise UsageError(
                f"Kinetics JSON has 18 joints with x, y and score; {m.clips.path} has {m.clips.V} joints, C={m.clips.C}"
            )
        if m.clips.units == "px":
            raise UsageError(
                f"Kinetics JSON has shares of the picture; {m.clips.path} has pixels: write --to 5d instead"
            )
    for split, m in materials.items():
        part, table = PARTS[split], {}
        for i, x in m.single():
            label = int(m.labels[i])
            told = {"label": m.clips.class_names[label] if m.clips.class_names else f"class {label}",
                    "label_index": label}  # fmt: skip
            frames = [{"frame_index": t, "skeleton": _people(frame)} for t, frame in enumerate(x)]
            _json(folder / f"kinetics_{part}" / files[split][i], {"data": frames, **told})
            table[files[split][i].removesuffix(".json")] = {"has_skeleton": bool(x.any()), **told}
        written += [folder / f"kinetics_{part}", _json(folder / f"kinetics_{part}_label.json", table)]
    return written


def _people(frame: np.ndarray) -> list[dict[str, list[float]]]:
    """(M, V, 3) centred coordinates to OpenPose entries in 0..1, absent joints at (0, 0)."""
    there = frame.any(axis=(1, 2))
    last = int(there.nonzero()[0].max(initial=-1)) + 1
    place = np.where(frame[..., 2:] == 0, 0.0, frame[..., :2].astype(np.float64) + 0.5)
    return [{"pose": place[m].reshape(-1).tolist(), "score": frame[m, :, 2].tolist()} for m in range(last)]


def _json(path: Path, content: Any) -> Path:
    text = json.dumps(content).encode()
    return write_atomically(path, lambda file: file.write(text))
