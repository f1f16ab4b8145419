"""PYSKL / MMAction2 annotation pickles: a dict of ``split`` lists and ``annotations``."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.clip_groups import subjects_of
from skeleton_lab.data.archives.packed import PackedClips, Writer, state_of, stored
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers.pyskl_annotations import FOLDER, PointFiles, content_of, picture_of, points_of
from skeleton_lab.data.archives.split_names import PARTS, Choice, Wish, choose, divisions
from skeleton_lab.errors import ArchiveError, UsageError, listing

log = logging.getLogger("skeleton_lab")

STARTS = (b"\x80", b"(")  # of a pickle
PERSONS = 2
CENTRE = 1  # joint at the origin, of person 0 in the first frame in which person 0 is there
SHOWN = 8  # names in a line


def open_pyskl(path: Path, split: str, layout: str | None, cache_dir: str | Path | None = None) -> PackedClips:
    """The clips of one split, in list order, centred as the Kaggle file is, two persons each.

    A plain list of annotations is one split, whatever it is called. Splits may be called val or test, and stand before
    or behind the name of their division: ``xsub_val``, ``test1``.
    ``layout`` "pyskl:xview" or "pyskl:1" picks the division where the pickle holds several, "pyskl:test" the test
    clips where it has val as well; a last ":raw" leaves out the centring. Annotations without a person are left out;
    ``unread`` of the clips names them, and the splits that are neither train nor test.

    Raises:
        ArchiveKeyError: no such split. UsageError: the division is not said, or the layout not understood.
        ArchiveError, ArchiveNotFoundError: damaged, not this format, or key points in other files (Kinetics-400) that
            are not there.
    """
    wish, centre = _wishes(path, layout)
    store = _store(path, centre, cache_dir)
    index = store[1]
    choice = choose(path, _splits(index), wish, split)
    nobody = set(index["nobody"].tolist())
    at = {name: i for i, name in enumerate(index["names"].tolist())}
    listed = index[f"split_{getattr(choice, split)}"].tolist()
    unknown = [name for name in listed if name not in at and name not in nobody]
    if unknown:
        raise ArchiveError(f"{path}: {len(unknown)} clips of the {split} list have no annotation, first {unknown[0]}")
    there = [at[name] for name in listed if name in at]
    if not there:
        raise ArchiveError(f"{path}: the {split} list is empty" + (": its clips show nobody" if listed else ""))
    clips = PackedClips(path, "pyskl", store, index["labels"], names=index["names"].tolist())
    about.of_pickle(clips, index)
    chosen = clips.subset(there)
    chosen.T = max(int(chosen.lengths(np.arange(len(chosen)))[1].max()), 1)
    chosen.subjects = subjects_of(chosen.names)
    chosen.frames = index["frames"][there]
    chosen.unread = _unread(index, choice, [name for name in listed if name in nobody], split)
    if crowded := int((index["people"][there] > PERSONS).sum()):
        chosen.unread.append(f"people beyond the first two of {crowded} {split} clips")
    for line in chosen.unread:
        if wish.division is None or not line.startswith("splits"):
            _say(f"{path}: not read: {line}")
    return chosen


def is_pickle(path: Path) -> bool:
    """By the first byte; not a folder.

    Raises:
        ArchiveError: it cannot be read.
    """
    if not path.is_file():
        return False
    with parsing(path), open(path, "rb") as file:
        return file.read(1) in STARTS


def raw_layout(layout: str | None) -> str:
    """The layout of a pickle that leaves out the centring."""
    return str(layout) if "raw" in (layout or "").split(":") else f"{layout or 'pyskl'}:raw"


def divisions_of(path: Path, layout: str | None = None) -> dict[str, dict[str, str]]:
    """The divisions of a pickle, see ``divisions``; none of another file.

    Raises:
        ArchiveError: it is a damaged pickle. UsageError: the layout does not fit.
    """
    return divisions(_splits(_store(path, _wishes(path, layout)[1], None)[1])) if is_pickle(path) else {}


def _store(path: Path, centre: bool, cache_dir: str | Path | None) -> tuple[Path, dict[str, np.ndarray]]:
    return stored(
        path, "centred" if centre else "raw", state_of([path, *sorted((path.parent / FOLDER).glob("*.pkl"))]),
        lambda writer: _fill(writer, path, centre), cache_dir=cache_dir, show=True,
    )  # fmt: skip


def _splits(index: dict[str, np.ndarray]) -> list[str]:
    return [key.removeprefix("split_") for key in index if key.startswith("split_")]


@cache
def _say(line: str) -> None:
    """Once, though every program opens the training and the test clips."""
    log.warning(line)


def _unread(index: dict[str, np.ndarray], choice: Choice, nobody: list[str], split: str) -> list[str]:
    lines = []
    if choice.unread:
        lines.append(f"splits {listing(choice.unread)}" + _instead(index, choice))
    if nobody:
        more = ", ..." if len(nobody) > SHOWN else ""
        lines.append(f"{len(nobody)} {split} annotations show nobody: {listing(nobody[:SHOWN])}{more}")
    if split == "train":
        listed = [index[f"split_{name}"] for name in _splits(index)]
        loose = np.setdiff1d(index["names"], np.concatenate(listed) if listed else [])
        if len(loose):
            lines.append(f"{len(loose)} annotations that no split lists, the first is {listing([str(loose[0])])}")
    return lines


def _instead(index: dict[str, np.ndarray], choice: Choice) -> str:
    """How to read the test clips of a division that has val as well."""
    for name, parts in divisions(_splits(index)).items():
        if choice.test == parts.get("val") and parts.get("test") in choice.unread:
            layout = ":".join(filter(None, ("pyskl", name, "test")))
            return f" (layout '{layout}' reads {parts['test']} in place of {choice.test})"
    return ""


def _wishes(path: Path, layout: str | None) -> tuple[Wish, bool]:
    words = (layout or "pyskl").split(":")
    if words[0] != "pyskl":
        raise UsageError(
            f"layout '{layout}' does not fit {path}, a pickle; write pyskl, pyskl:xsub, pyskl:1, pyskl:xsub:raw ..."
        )
    rest = [word for word in words[1:] if word != "raw"]
    parts = [word for word in rest if word in PARTS["test"]]
    named = [word for word in rest if word not in parts]
    if len(named) > 1 or len(parts) > 1:
        raise UsageError(f"layout '{layout}' names several divisions of {path}")
    return Wish(named[0] if named else None, parts[0] if parts else None), "raw" not in words


def _fill(writer: Writer, path: Path, centre: bool):
    content, listed, annotations = content_of(path)
    names: list[str] = []
    labels: list[int] = []
    nobody: list[str] = []
    people: list[int] = []
    frames: list[int] = []
    pictures: list[tuple[int, int]] = []
    joints: tuple[int, int, bool] | None = None
    files = PointFiles(path)
    for number, name, annotation in annotations:
        with parsing(path, f"annotation {number} ({listing([name])})"):
            where = f"{path}: {listing([name])}"
            points, score = points_of(where, name, annotation, files)
            x = _coordinates(where, points, score, centre)
            label = int(annotation["label"])
            picture = picture_of(where, annotation)
        if x is None:
            nobody.append(name)
            continue
        if (kind := (*x.shape[2:], score is not None)) != (joints := joints or kind):
            raise ArchiveError(f"{path}: {name} has {_kind(kind)}, earlier clips {_kind(joints)}")
        if not 0 <= label < 2**31:
            raise ArchiveError(f"{path}: {name} has label {label}")
        names.append(name)
        labels.append(label)
        people.append(len(points))
        frames.append(len(x))
        pictures.append(picture)
        writer.add(x[None], name)
    if joints is None:
        raise ArchiveError(f"{path} holds no annotations" + (f" but {len(nobody)} that show nobody" if nobody else ""))
    if len(set(names) | set(nobody)) < len(names) + len(nobody):
        raise ArchiveError(f"{path} holds two annotations of one clip")
    V, C, flat = joints
    extra = {
        "names": np.array(names), "labels": np.array(labels, np.int64), "nobody": np.array(nobody, str),
        "people": np.array(people), "frames": np.array(frames, np.int64), "img_shape": np.array(pictures, np.int64),
        "flat": np.array(flat),
    }  # fmt: skip
    splits = {f"split_{name}": np.array(names, str) for name, names in listed.items()}
    return (C, writer.longest, V, PERSONS), {**extra, **about.in_pickle(content, path), **splits}


def _kind(kind: tuple[int, int, bool]) -> str:
    return f"(V, C) = {kind[:2]}" + (", the last a score" if kind[2] else "")


def _coordinates(where: str, points: np.ndarray, score: np.ndarray | None, centre: bool) -> np.ndarray | None:
    """(T, M=2, V, C) float32 of key points (M, T, V, C), None without a person or frame; a score is the third
    channel."""
    if not points.size:
        return None
    x = points.astype(np.float32)
    if score is not None:
        x = np.concatenate([x, score[..., None]], axis=3)
    elif centre:
        x = _centred(x)
    out = np.zeros((x.shape[1], PERSONS, *x.shape[2:]), np.float32)
    kept = x[:PERSONS].transpose(1, 0, 2, 3)
    out[:, : kept.shape[1]] = kept
    return out


def _centred(x: np.ndarray) -> np.ndarray:
    there = (x != 0).any(axis=(2, 3))  # (M, T)
    if not there[0].any():
        return x
    origin = x[0, there[0].argmax(), CENTRE].copy()
    with np.errstate(invalid="ignore"):  # NaN and Inf are refused when the clip is packed
        return np.where(there[:, :, None, None], x - origin, x)
