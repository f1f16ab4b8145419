"""Bone arrays of MS-G3D from its joint arrays, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.npy_format import StoredArray, open_npy
from skeleton_lab.data.archives.writers.streaming import Rows, write_npy
from skeleton_lab.data.preprocessing.openpose_json import PARENTS
from skeleton_lab.data.preprocessing.pipelines import FLOAT
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, UsageError
from skeleton_lab.skeletons.bones import NTU, bone
from skeleton_lab.utils.progress import clip_bar

FOLDERS = {"ntu": ("ntu/xsub", "ntu/xview"), "ntu120": ("ntu120/xsub", "ntu120/xset"), "kinetics": ("kinetics",)}
BLOCK = 64  # clips: 11 MB


def write(data: Path, dataset: str) -> None:
    """``{part}_data_bone.npy`` beside every ``{part}_data_joint.npy`` of ``dataset`` below ``data``.

    Raises:
        ArchiveNotFoundError: there is none. ArchiveError: one is damaged or of another skeleton.
        UsageError: the disk is full or cannot be written.
    """
    parents = PARENTS if dataset == "kinetics" else NTU
    joints = [data / folder / f"{part}_data_joint.npy" for folder in FOLDERS[dataset] for part in ("train", "val")]
    present = [path for path in joints if path.exists()]
    if not present:
        raise ArchiveNotFoundError(f"no {joints[0].name} in {' or '.join(str(data / f) for f in FOLDERS[dataset])}")
    for path in present:
        out = path.with_name(path.name.replace("_joint", "_bone"))
        try:
            write_npy(out, _bones(path, parents))
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror or error}") from error
        print(f"wrote {out}")


def _bones(path: Path, parents: np.ndarray) -> Rows:
    stored = open_npy(path)
    if len(stored.shape) != 5 or stored.shape[3] != len(parents) or stored.dtype.kind != "f":
        raise ArchiveError(
            f"{path} is {stored.dtype} of shape {stored.shape}; expected float (N, C, T, V={len(parents)}, M)"
        )
    return Rows(stored.shape, FLOAT, _rows(stored, parents))


def _rows(stored: StoredArray, parents: np.ndarray) -> Iterator[np.ndarray]:
    with clip_bar(stored.shape[0], f"bones of {stored.key}") as bar:
        for block in stored.blocks(BLOCK):
            yield from bone(block.astype(FLOAT), parents)
            bar.update(len(block))
