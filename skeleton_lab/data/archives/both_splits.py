"""Both splits of an archive at once, also where they lie in a folder of arrays or of Kinetics clips."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.data.archives import npy_format
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.locate import held
from skeleton_lab.data.archives.opening import JOINTS_5D, PERSONS_5D, SPLITS, open_archive
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import h5, npz, nw_ucla
from skeleton_lab.data.archives.split_names import PARTS as WORDS
from skeleton_lab.errors import ArchiveKeyError, UsageError, nearest

PARTS = {"train": "train", "test": "val"}  # what MS-G3D, ST-GCN, PYSKL and Kinetics call the splits


def open_source(
    path: Path,
    *,
    split: str | None = None,
    label_path: str | Path | None = None,
    layout: str | None = None,
    joints: int | None = None,
) -> dict[str, Clips]:
    """The clips of every split, or of the one asked for.

    Args:
        path: an archive (``open_archive``), a folder of ``{train,val}_data[_joint].npy`` with ``_label.pkl``, or a
            folder of ``kinetics_{train,val}`` with their label files; "test" is as good as "val" in such names.
        split: "train" or "test" alone; by default all that are there. A lone .npy or folder of Kinetics clips is one
            split: this one, by default what its name says, else "train".
        label_path: of a lone .npy or folder of Kinetics clips; by default the published name beside it.
        layout, joints: as for ``open_archive``.

    Raises:
        ArchiveError, ArchiveKeyError, ArchiveNotFoundError: the archive is missing or damaged.
        UsageError: unknown split, labels that must be named, or that are named and not needed.
    """
    if split not in (None, *SPLITS):
        raise UsageError(f"--split {split}: choose train or test.{nearest(split, SPLITS)}")
    wanted = [split] if split else list(SPLITS)
    about = dict(layout=layout, joints=joints)
    if path.is_dir():
        with parsing(path):
            pairs = {name: pairs_of(path, name) for name in wanted}
        found = {name: pair for name, pair in pairs.items() if pair}
        if found:
            refuse_labels(path, label_path)
            return {name: _first(pairs, name, about) for name, pairs in found.items()}
    path = held(path)
    if alone(path, label_path):
        name = split or _told(path) or "train"
        return {name: open_archive(path, name, label_path=label_path or _beside(path), **about)}
    shapes = _shapes(path)
    if not split and shapes:
        wanted = list(shapes)
    first = shapes.get(wanted[0], ())
    if joints is None and len(first) == 5 and first[3] not in JOINTS_5D and 1 <= first[4] <= PERSONS_5D:
        about["joints"] = first[3]  # another skeleton than the usual ones
    opened: dict[str, Clips] = {}
    for name in wanted:
        try:
            opened[name] = open_archive(path, name, **about)
        except ArchiveKeyError:  # a pickle may have one split alone
            if split or shapes or (name == wanted[-1] and not opened):
                raise
    return opened


def located(path: Path, split: str, label_path: str | Path | None = None) -> tuple[Path, Path | None]:
    """What a feeder calls data_path and label_path of one split; no labels where the data holds them itself.

    Raises:
        UsageError: labels that must be named, or that are named and not needed.
    """
    pairs = pairs_of(path, split) if path.is_dir() else []
    if pairs:
        refuse_labels(path, label_path)
        return pairs[0]
    if alone(path, label_path):
        return path, Path(label_path or _beside(path))
    return path, None


def _first(pairs: list[tuple[Path, Path]], split: str, about: dict) -> Clips:
    clips = open_archive(pairs[0][0], split, label_path=pairs[0][1], **about)
    clips.unread += [f"{data.name}: {pairs[0][0].name} is the {split} split" for data, _ in pairs[1:]]
    return clips


def pairs_of(folder: Path, split: str) -> list[tuple[Path, Path]]:
    """The data and the labels of one split in a folder of arrays or of Kinetics clips, the usual name first."""
    found = []
    for part in WORDS[split]:
        arrays = [folder / f"{part}_data_joint.npy", folder / f"{part}_data.npy"]
        found += [(data, folder / f"{part}_label.pkl") for data in arrays if data.exists()][:1]
        clips = folder / f"kinetics_{part}"
        found += [(clips, folder / f"kinetics_{part}_label.json")] if clips.is_dir() else []
    return found


def alone(path: Path, label_path: str | Path | None = None) -> bool:
    """Whether it is one split without labels of its own: an array, or a folder of Kinetics clips.

    Raises:
        UsageError: it has labels, and others are named.
    """
    if not path.exists():
        return False
    with parsing(path):
        if path.is_dir():
            names = [p.name for p in path.iterdir() if p.suffix == ".json"]
            single = bool(names) and not any(nw_ucla.FILE_NAME.fullmatch(name) for name in names)
        else:
            with open(path, "rb") as file:
                single = file.read(len(npy_format.MAGIC)) == npy_format.MAGIC
    if not single:
        refuse_labels(path, label_path)
    return single


def refuse_labels(path: Path, label_path: str | Path | None) -> None:
    """UsageError if labels are named for an archive that has its own: which ones would count?"""
    if label_path is not None:
        raise UsageError(f"--label-path {label_path}: {path} has labels of its own; leave it out")


def _beside(path: Path) -> Path:
    """The label file that belongs to an array or a folder by its published name.

    Raises:
        UsageError: there is none.
    """
    if path.is_dir():
        whole = path.resolve()  # "." has no name
        label = whole.parent / f"{whole.name}_label.json"
    else:
        label = path.with_name(f"{path.name.partition('_data')[0]}_label.pkl")
    if not label.exists():
        raise UsageError(f"{path} has no labels of its own, and there is no {label}: name them with --label-path")
    return label


def _told(path: Path) -> str | None:
    """The split that a published name speaks of: ``val_data_joint.npy``, ``kinetics_train``."""
    words = [(split, part) for split, parts in WORDS.items() for part in parts]
    return next((s for s, part in words if path.name.startswith((f"{part}_", f"kinetics_{part}"))), None)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Of an NPZ or HDF5 file: the splits that it has anything of, and the shapes of their coordinates."""
    if not path.is_file():
        return {}
    with parsing(path), open(path, "rb") as file:
        start = file.read(8)
    if not start.startswith((npz.MAGIC, h5.MAGIC)):
        return {}
    archive = npz.Npz(path) if start.startswith(npz.MAGIC) else h5.H5(path)
    keys = set(archive.keys())
    there = [split for split in SPLITS if {f"x_{split}", f"y_{split}"} & keys]
    return {split: archive.array(f"x_{split}").shape if f"x_{split}" in keys else () for split in there}
