"""PYSKL / MMAction2 annotation pickles: a dict of ``split`` lists and ``annotations``."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.labels import subjects_of
from skeleton_lab.data.archives.packed import PackedClips, Writer, state_of, stored
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.data.archives.split_names import PARTS, Choice, Wish, choose, divisions
from skeleton_lab.errors import ArchiveError, UsageError, listing

log = logging.getLogger("skeleton_lab")

STARTS = (b"\x80", b"(")  # of a pickle
PERSONS = 2
CENTRE = 1  # joint at the origin, of person 0 in the first frame in which person 0 is there
SHOWN = 8  # names in a line


def open_pyskl(path: Path, split: str, layout: str | None, cache_dir: str | Path | None = None) -> PackedClips:
    """The clips of one split, in list order, centred as the Kaggle file is, two persons each.

    Splits may be called val or test, and stand before or behind the name of their division: ``xsub_val``, ``test1``.
    ``layout`` "pyskl:xview" or "pyskl:1" picks the division where the pickle holds several, "pyskl:test" the test
    clips where it has val as well; a last ":raw" leaves out the centring. Annotations without a person are left out;
    ``unread`` of the clips names them, and the splits that are neither train nor test.

    Raises:
        ArchiveKeyError: no such split. UsageError: the division is not said, or the layout not understood.
        ArchiveError: damaged, not this format, or with key points in other files (Kinetics-400).
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
    chosen.unread = _unread(index, choice, [name for name in listed if name in nobody], split)
    if crowded := int((index["people"][there] > PERSONS).sum()):
        chosen.unread.append(f"people beyond the first two of {crowded} {split} clips")
    for line in chosen.unread:
        if wish.division is None or not line.startswith("splits"):
            _say(f"{path}: not read: {line}")
    return chosen


def divisions_of(path: Path, layout: str | None = None) -> dict[str, dict[str, str]]:
    """The divisions of a pickle, see ``divisions``; none of another file.

    Raises:
        ArchiveError: it is a damaged pickle. UsageError: the layout does not fit.
    """
    if not path.is_file():
        return {}
    with parsing(path), open(path, "rb") as file:
        start = file.read(1)
    return divisions(_splits(_store(path, _wishes(path, layout)[1], None)[1])) if start in STARTS else {}


def _store(path: Path, centre: bool, cache_dir: str | Path | None) -> tuple[Path, dict[str, np.ndarray]]:
    return stored(
        path, "centred" if centre else "raw", state_of([path]),
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
    content = safe_pickle.load(path)
    if not isinstance(content, dict) or not {"split", "annotations"} <= set(content):
        raise ArchiveError(f"{path} is a pickle, but not of PYSKL: expected a dict with 'split' and 'annotations'")
    names: list[str] = []
    labels: list[int] = []
    nobody: list[str] = []
    people: list[int] = []
    shapes: list[tuple[int, int]] = []
    with parsing(path):
        splits = {
            f"split_{name}": np.array([*map(safe_pickle.text, listed)], str)
            for name, listed in content["split"].items()
        }
        annotations = list(content["annotations"])
    joints: tuple[int, int] | None = None
    for number, annotation in enumerate(annotations):
        with parsing(path, f"annotation {number}"):
            name = safe_pickle.text(annotation["frame_dir"])
        with parsing(path, f"annotation {number} ({listing([name])})"):
            x = _coordinates(f"{path}: {listing([name])}", annotation, centre)
            label = int(annotation["label"])
            shape = _img_shape(annotation)
            flat = annotation["keypoint"].shape[-1] == 2
        if x is None:
            nobody.append(name)
            continue
        if x.shape[2:] != (joints := joints or x.shape[2:]):
            raise ArchiveError(f"{path}: {name} has (V, C) = {x.shape[2:]}, earlier clips {joints}")
        if not 0 <= label < 2**31:
            raise ArchiveError(f"{path}: {name} has label {label}")
        names.append(name)
        labels.append(label)
        people.append(len(annotation["keypoint"]))
        shapes.append(shape)
        writer.add(x[None], name)
    if joints is None:
        raise ArchiveError(f"{path} holds no annotations" + (f" but {len(nobody)} that show nobody" if nobody else ""))
    if len(set(names) | set(nobody)) < len(names) + len(nobody):
        raise ArchiveError(f"{path} holds two annotations of one clip")
    V, C = joints
    extra = {"names": np.array(names), "labels": np.array(labels, np.int64), "nobody": np.array(nobody, str)}
    extra |= {"people": np.array(people), "img_shape": np.array(shapes, np.int64), "flat": np.array(flat)}
    return (C, writer.longest, V, PERSONS), {**extra, **about.in_pickle(content, path), **splits}


def _img_shape(annotation: dict[str, Any]) -> tuple[int, int]:
    """Height and width of a clip's picture, (0, 0) where the annotation does not tell."""
    told = annotation.get("img_shape", annotation.get("original_shape"))
    if told is None:
        return 0, 0
    height, width = (int(side) for side in told)
    if height < 1 or width < 1:
        raise ArchiveError(f"img_shape is {(height, width)}; a picture has at least one pixel")
    return height, width


def _coordinates(where: str, annotation: dict[str, Any], centre: bool) -> np.ndarray | None:
    """(T, M=2, V, C) float32 of one annotation, None without a person or frame; of 2-D key points the score is the
    third channel."""
    if "keypoint" not in annotation:
        kind = "Kinetics-400 keeps its key points in other files (raw_file)" if "raw_file" in annotation else "damaged"
        raise ArchiveError(f"{where}: annotation without 'keypoint': {kind}; that is not supported")
    x = annotation["keypoint"]
    if not isinstance(x, np.ndarray):
        raise ArchiveError(f"{where}: keypoint is a {type(x).__name__}, not an array")
    if not x.size and (x.ndim < 2 or not all(x.shape[:2])):
        return None
    if x.ndim != 4 or x.dtype.kind != "f" or x.shape[3] not in (2, 3) or not all(x.shape):
        raise ArchiveError(
            f"{where}: keypoint of shape {x.shape}, type {x.dtype}; accepted is float (M, T, V, C=2 or 3)"
        )
    told = annotation.get("total_frames", x.shape[1])
    if not isinstance(told, (int, np.integer)) or x.shape[1] != told:
        shown = told if isinstance(told, (int, float)) else type(told).__name__
        raise ArchiveError(f"{where}: keypoint has {x.shape[1]} frames, total_frames is {shown}")
    x = x.astype(np.float32)
    if x.shape[3] == 2:
        if "keypoint_score" not in annotation:
            raise ArchiveError(f"{where}: 2-D key points without 'keypoint_score'")
        score = safe_pickle.numbers(annotation["keypoint_score"]).astype(np.float32).reshape(x.shape[:3])
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
