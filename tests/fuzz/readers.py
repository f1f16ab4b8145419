"""The readers that are tried, each with its seeds and with how a file is given to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.descriptors.files import open_descriptors
from skeleton_lab.data.archives.opening import open_archive
from tests.fuzz import keypoints, mutate, pickled, seeds, skeletons
from tests.fuzz.reader import Reader, written

MOST_CLIPS = 4  # that are read of an archive


def _clips(path: Path, label_path: Path | None = None) -> None:
    clips = open_archive(path, "train", label_path=label_path)
    rows = np.arange(min(len(clips), MOST_CLIPS))
    clips.lengths(rows)
    clips.gather(rows, np.broadcast_to(np.arange(min(clips.T, 300)), (len(rows), min(clips.T, 300))))


def _archive(ending: str) -> Callable[[Path, bytes], object]:
    def use(folder: Path, data: bytes) -> None:
        _clips(written(folder / f"file{ending}", data))

    return use


def _both_splits(folder: Path, data: bytes) -> None:
    for clips in open_source(written(folder / "file.npz", data)).values():
        clips.lengths(np.arange(min(len(clips), MOST_CLIPS)))


def _npy(folder: Path, data: bytes) -> None:
    _clips(written(folder / "train_data.npy", data), written(folder / "train_label.pkl", seeds.labels()))


def _label_pickle(folder: Path, data: bytes) -> None:
    _clips(written(folder / "train_data.npy", seeds.npy()), written(folder / "train_label.pkl", data))


def _label_npy(folder: Path, data: bytes) -> None:
    _clips(written(folder / "train_data.npy", seeds.npy()), written(folder / "train_label.npy", data))


def _ucla(folder: Path, data: bytes) -> None:
    _clips(written(folder / "all_sqe" / "a01_s01_e00_v01.json", data).parent)


def _kinetics(folder: Path, data: bytes) -> None:
    labels = written(folder / "labels.json", seeds.kinetics_labels())
    _clips(written(folder / "clips" / "clip.json", data).parent, labels)


def _kinetics_labels(folder: Path, data: bytes) -> None:
    clip = written(folder / "clips" / "clip.json", seeds.kinetics())
    _clips(clip.parent, written(folder / "labels.json", data))


def _raw_kinetics(folder: Path, data: bytes) -> None:
    from skeleton_lab.data.preprocessing import openpose_json

    openpose_json.clip(data, flip=True)


def _recording(ending: str) -> Callable[[Path, bytes], object]:
    def use(folder: Path, data: bytes) -> None:
        from skeleton_lab.data.preprocessing import recordings, skeleton_text

        path = written(folder / f"S001C001P001R001A001{ending}", data)
        for source in recordings.listed(path if ending == ".zip" else folder):
            skeleton_text.read(source, colors=True)

    return use


def _descriptors(ending: str) -> Callable[[Path, bytes], object]:
    def use(folder: Path, data: bytes) -> None:
        found = open_descriptors(written(folder / f"file{ending}", data))
        for entry in range(min(len(found), MOST_CLIPS)):
            found.read(entry)

    return use


def _descriptor_folder(folder: Path, data: bytes) -> None:
    found = open_descriptors(written(folder / "folder" / "clip.npy", data).parent, show=False)
    found.read(0)


def _config(folder: Path, data: bytes) -> None:
    from skeleton_lab.engine.config import yaml_file

    yaml_file.dump(yaml_file.read(written(folder / "config.yaml", data)))  # as a run does


def _weights(ending: str) -> Callable[[Path, bytes], object]:
    def use(folder: Path, data: bytes) -> None:
        from skeleton_lab.engine.pretrained import read_weights

        read_weights(written(folder / f"weights{ending}", data))

    return use


def _deflated() -> bytes:
    return seeds.npz(np.savez_compressed)


READERS = (
    Reader("npz", (seeds.npz, lambda: seeds.npz(five=True), seeds.own), _archive(".npz"), (seeds.strange_npz,)),
    Reader("npz, deflated", (_deflated,), _archive(".npz"), (seeds.strange_npz,)),
    Reader("npz, both splits", (seeds.npz, _deflated), _both_splits, (seeds.strange_npz,)),
    Reader("npy", (seeds.npy,), _npy, (seeds.strange_npy,)),
    Reader("label pickle", (seeds.labels,), _label_pickle, (pickled.make,)),
    Reader("label npy", (lambda: seeds.npy(np.arange(3)), lambda: seeds.npy(np.eye(3))), _label_npy,
    (seeds.strange_npy,)),
    Reader("PYSKL pickle", (seeds.pyskl, seeds.pyskl_flat), _archive(".pkl"), (pickled.make,)),
    Reader("NW-UCLA JSON", (seeds.ucla,), _ucla, (seeds.strange_json,)),
    Reader("NW-UCLA tar", (lambda: seeds.ucla_tar("w"), lambda: seeds.ucla_tar("w:xz"), lambda: seeds.ucla_tar("w:gz")),
           _archive(".tar")),
    Reader("Kinetics JSON", (seeds.kinetics,), _kinetics, (seeds.strange_json,)),
    Reader("Kinetics labels", (seeds.kinetics_labels,), _kinetics_labels, (seeds.strange_json,)),
    Reader("raw Kinetics JSON", (seeds.kinetics,), _raw_kinetics, (seeds.strange_json,)),
    Reader(".skeleton", (seeds.recording,), _recording(".skeleton")),
    Reader(".skeleton.gz", (lambda: seeds.recording(True),), _recording(".skeleton.gz")),
    Reader(".skeleton in ZIP", (seeds.recordings_zip,), _recording(".zip")),
    Reader("HDF5", (seeds.h5, lambda: seeds.h5(chunks=True, compression="gzip")), _archive(".h5")),
    Reader("descriptors", (seeds.descriptors,), _descriptors(".npz"), (seeds.strange_descriptors,)),
    Reader("descriptors, rows", (lambda: seeds.npy(np.ones((3, 4))),), _descriptors(".npy"), (seeds.strange_npy,)),
    Reader("descriptors, folder", (lambda: seeds.npy(np.ones(4)),), _descriptor_folder, (seeds.strange_npy,)),
    Reader("YAML", (lambda: seeds.CONFIG,), _config, (seeds.strange_yaml,)),
    Reader("weights", (seeds.weights,), _weights(".pt"), (pickled.make, pickled.weights)),
    Reader("key points", keypoints.SEEDS, keypoints.use("file.json"), (keypoints.strange_json,)),
    Reader("key points, folder", (keypoints.form("openpose_frame"),), keypoints.use("json/a_1_keypoints.json"),
           (keypoints.strange_json,)),
    Reader("key points, folder of images", (keypoints.form("image"),), keypoints.use("json/walk_1.json"),
           (keypoints.strange_json,)),
    Reader("DeepLabCut", (keypoints.deeplabcut,), keypoints.use("file.csv")),
    Reader("key points, .npy", (keypoints.npy,), keypoints.use("file.npy"), (keypoints.strange_array,)),
    Reader("key points, .npz", (keypoints.npz,), keypoints.use("file.npz")),
    Reader("skeleton", (lambda: skeletons.seed("coco17"), lambda: skeletons.seed("hand22")), skeletons.use,
           (skeletons.strange,), share=0.6),
    Reader("pickled weights", (seeds.weights_pickle,), _weights(".pkl"), (pickled.make, pickled.weights)),
)  # fmt: skip


GROUPS = ("files", "programs")


@cache
def readers(group: str = "files") -> tuple[tuple[Reader, tuple[bytes, ...]], ...]:
    """The readers of a group whose seeds can be made here (HDF5 needs h5py), with their seeds; ``all`` is both."""
    if group == "all":
        return tuple(pair for each in GROUPS for pair in readers(each))
    if group == "programs":
        from tests.fuzz import programs  # here: they import torch
    known = READERS if group == "files" else programs.READERS
    made = [(reader, [seed() for seed in reader.seeds]) for reader in known]
    return tuple((reader, tuple(files)) for reader, files in made if all(file is not None for file in files))


def content(number: int, seed: int, group: str = "files") -> tuple[Reader, bytes]:
    """Input ``number`` of a group: which reader, and the bytes."""
    known = readers(group)
    reader, files = known[number % len(known)]
    draw = Random(f"{seed}:{number}")
    if reader.made and draw.random() < reader.share:
        data = draw.choice(reader.made)(draw)
        return reader, mutate.mutate(data, draw, files) if draw.random() < 0.3 else data
    others = [file for _, more in known for file in more] if draw.random() < 0.3 else files
    return reader, mutate.mutate(draw.choice(files), draw, others)
