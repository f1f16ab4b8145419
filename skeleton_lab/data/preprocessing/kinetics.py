"""Kinetics-skeleton for MS-G3D and ST-GCN: ``{train,val}_data[_joint].npy`` and ``_label.pkl``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.writers.streaming import Rows, write_npy, write_pickle
from skeleton_lab.data.preprocessing.openpose_json import FRAMES, JOINTS, PARENTS, PERSONS, clip, clips
from skeleton_lab.data.preprocessing.pipelines import FLOAT, Tick
from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.data.preprocessing.run import Options, Run
from skeleton_lab.data.preprocessing.spool import Converted, Spool
from skeleton_lab.skeletons.bones import bone

ROW_BYTES = 3 * FRAMES * JOINTS * PERSONS * 4


@dataclass(frozen=True)
class OpenPose:
    """One clip file; ``lineage`` "msg3d" (y up, ``_data_joint.npy``) or "stgcn" (y down, ``_data.npy``)."""

    lineage: str
    bones: bool = False

    def __call__(self, source: Source) -> Converted:
        x, label, beyond = clip(source.read(), self.lineage == "msg3d")
        warnings = [f"{beyond} frames beyond 0..{FRAMES - 1} ignored"] if beyond else []
        return Converted([x], {"label": label}, warnings)

    def row(self, x: np.ndarray) -> np.ndarray:
        """(2, T, 18, 3) of the spool -> (3, 300, 18, 2)."""
        out = np.zeros((3, FRAMES, JOINTS, PERSONS), np.float32)
        out[:, : x.shape[1]] = x.transpose(3, 1, 2, 0)
        return out


def convert(root: Path, out: Path, pipeline: OpenPose, options: Options) -> list[Path]:
    """Both parts of the data set in ``root``; returns the files.

    Raises:
        LabError: no data, no room, or (``on_error`` "raise") a clip that cannot be used.
    """
    paths = []
    for part in ("train", "val"):
        sources, labels = clips(root, part, options.say)
        run = Run(sources, out, f"{pipeline.lineage}-kinetics-{part}", pipeline, options)
        with run.spooled(len(sources) * ROW_BYTES * (2 if pipeline.bones else 1)) as spool:
            _check_labels(spool, labels)
            run.report(spool)
            with run.writing(len(spool) * (2 if pipeline.bones else 1)) as tick:
                paths += _write(spool, out / part, pipeline, labels, tick)
            run.finished(spool)
    return paths


def _check_labels(spool: Spool, labels: dict[str, int]) -> None:
    """Skip the clips of which the label file says something else, or nothing."""
    wrong = {}
    for i, (name, note) in enumerate(spool.notes()):
        if name not in labels:
            wrong[i] = "the label file does not list it"
        elif note["label"] != labels[name] or note["label"] < 0:
            wrong[i] = f"label_index is {note['label']}, the label file says {labels[name]}"
    spool.skip(wrong)


def _write(spool: Spool, stem: Path, pipeline: OpenPose, labels: dict[str, int], tick: Tick) -> list[Path]:
    shape = (len(spool), 3, FRAMES, JOINTS, PERSONS)
    data = "data_joint" if pipeline.lineage == "msg3d" else "data"
    rows = tick(pipeline.row(spool.array(i)) for i in range(len(spool)))
    paths = [write_npy(Path(f"{stem}_{data}.npy"), Rows(shape, FLOAT, rows))]
    if pipeline.bones:
        rows = tick(bone(pipeline.row(spool.array(i)), PARENTS) for i in range(len(spool)))
        paths.append(write_npy(Path(f"{stem}_data_bone.npy"), Rows(shape, FLOAT, rows)))
    content = ([f"{name}.json" for name in spool.names], [labels[name] for name in spool.names])
    return [*paths, write_pickle(Path(f"{stem}_label.pkl"), content)]
