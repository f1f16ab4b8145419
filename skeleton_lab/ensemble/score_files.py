"""Files of scores, one per stream, and of labels: read, and joined by the names of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import sample_names
from skeleton_lab.data.archives.labels import class_ids
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers.safe_pickle import load
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, ArchiveNotFoundError, UsageError, listing

SCORES, RESULT = "epoch1_test_score.pkl", "test_result.pkl"


@dataclass(frozen=True)
class Scores:
    """One stream: names of the samples, in the order of the file, and their logits (N, K) float32."""

    path: Path
    names: list[Any]
    logits: np.ndarray


def read_scores(place: str | Path) -> Scores:
    """Read the score file of a folder, or the score file itself.

    Raises:
        ArchiveNotFoundError: there is none.
        ArchiveError: it is not a dict of equally long vectors of finite numbers.
    """
    path = Path(place)
    if path.is_dir():
        path /= SCORES if (path / SCORES).exists() or not (path / RESULT).exists() else RESULT
    if not path.is_file():
        raise ArchiveNotFoundError(
            f"no score file {path}; a test with --save-score true writes it (ST-GCN: --save_result true), and so does "
            "the end of a training of CTR-GCN's family"
        )
    content = load(path)
    if not isinstance(content, dict) or not content:
        raise ArchiveError(f"{path} is not a dict from sample name to scores")
    try:
        rows = [np.asarray(row) for row in content.values()]
        if any(np.iscomplexobj(row) for row in rows):
            raise TypeError("complex")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            logits = np.stack([row.astype(np.float32) for row in rows])
    except (TypeError, ValueError) as error:
        raise ArchiveError(f"{path}: the samples' scores are not equally long vectors of numbers") from error
    if logits.ndim != 2 or logits.shape[1] < 2 or not np.isfinite(logits).all():
        raise ArchiveError(
            f"{path}: scores of shape {logits.shape}; finite ones of shape (samples, classes) are expected"
        )
    return Scores(path, list(content), logits)


def stack(streams: Sequence[Scores]) -> tuple[np.ndarray, list[str]]:
    """Scores (S, N, K) in the order of the first stream, and notices.

    Samples are matched by name, whatever their split prefix, ending and folder. Where the names have nothing in common,
    rows are taken as they come if both runs' ``evaluation.npz`` have the same labels in the same order.

    Raises:
        ArchiveError: the streams are not of one test set, as far as their shapes, names and labels tell.
    """
    first, notices, rows = streams[0], [], [streams[0].logits]
    labels = own_labels(first)
    for stream in streams[1:]:
        if stream.logits.shape != first.logits.shape:
            raise ArchiveError(
                f"{stream.path} has scores of shape {stream.logits.shape}, {first.path} of {first.logits.shape}: "
                "these are not streams of one test set"
            )
        place = sample_names.places(first.names, stream.names, first.path, stream.path)
        theirs = own_labels(stream)
        order = np.arange(len(first.names)) if place is None else np.array(place)
        if labels is not None and theirs is not None:
            refuse_other_labels(labels, theirs[order], first.path, stream.path)
            if place is None:
                notices.append(
                    f"{stream.path} names its samples unlike {first.path}: matched by position, since the labels in "
                    "evaluation.npz of both agree row by row"
                )
        elif place is None:
            lacking = first if labels is None else stream
            raise ArchiveError(
                f"{stream.path} names its samples unlike {first.path}, and beside {lacking.path} there is no "
                "evaluation.npz of them that would tell whether the order is the same: test both streams on one archive"
            )
        rows.append(stream.logits[order])
    return np.stack(rows), notices


def refuse_other_labels(labels: np.ndarray, theirs: np.ndarray, where: Path, other: Path) -> None:
    """ArchiveError at the first row of two files whose class differs."""
    if (labels != theirs).any():
        row = int((labels != theirs).argmax())
        raise ArchiveError(
            f"sample {row} of {where} is class {labels[row]}, that of {other} class {theirs[row]} "
            f"({int((labels != theirs).sum())} of {len(labels)} differ): other samples, or in another order"
        )


def own_labels(scores: Scores) -> np.ndarray | None:
    """Labels (N,) in the order of the scores from the ``evaluation.npz`` of their run; None without a fitting one."""
    path = scores.path.with_name("evaluation.npz")
    if not path.is_file():
        return None
    labels, names = labels_and_names(path)
    if len(labels) != len(scores.names):
        return None  # of another test
    if names is None:
        return labels
    place = sample_names.places(scores.names, names, scores.path, path)
    return None if place is None else labels[place]


def labels_and_names(path: Path, layout: str | None = None) -> tuple[np.ndarray, list[Any] | None]:
    """Test labels (N,) int64 and the samples' names, None if the file has none; see ``read_labels``."""
    where, have = str(path), None
    if path.suffix == ".npz":
        with parsing(path), np.load(path, allow_pickle=False) as content:
            key, names = ("labels", "names") if "labels" in content.files else ("y_test", "name_test")
            if key not in content.files:
                raise ArchiveKeyError(f"{path} has neither 'labels' nor 'y_test'; it has {listing(content.files)}")
            _check_layout(layout if key == "labels" else None, path)
            where, labels = f"{path}: {key}", content[key]
            have = content[names].tolist() if names in content.files else None
    elif path.suffix == ".pkl" and isinstance(content := load(path), (list, tuple)):
        _check_layout(layout, path)
        with parsing(path):
            if isinstance(content[0], dict):  # a list of clips, as NW-UCLA's; labels from 1
                labels, have = [clip["label"] - 1 for clip in content], [clip.get("file_name") for clip in content]
            else:
                have, labels = content
                have = list(have)
    else:
        clips = open_archive(path, "test", layout=layout)
        labels, have = clips.labels, clips.names
    with parsing(path):
        labels = np.asarray(labels)
    ids = class_ids(labels, where)[0]
    if have is not None and len(have) != len(ids):
        raise ArchiveError(f"{path} has {len(ids)} test labels and {len(have)} names of samples")
    return ids, have


def _check_layout(layout: str | None, path: Path) -> None:
    if layout is not None:
        raise UsageError(f"--layout {layout} is for archives, and the labels are those of {path}: leave it out")


def read_labels(path: Path, names: Sequence[Any], layout: str | None = None) -> np.ndarray:
    """Test labels (N,) int64 of ``evaluation.npz``, of a label pickle, or of an archive in any layout.

    They come in the order of ``names`` if the file names its samples likewise; in its own order if it has no names, or
    if they or ``names`` are row numbers.

    Raises:
        ArchiveError: the file is damaged, has no labels of these kinds, or names other samples.
    """
    ids, have = labels_and_names(path, layout)
    if have is None or len(have) != len(names):
        return ids
    place = sample_names.places(names, have, Path("the scores"), path)
    if place is None and not sample_names.numbered(names) and not sample_names.numbered(have):
        raise ArchiveError(
            f"{path} names its samples unlike the scores ({have[0]!r} and {names[0]!r}, say): labels of other samples, "
            "or of the same in an order that cannot be known; --labels evaluation.npz takes the run's own"
        )
    return ids if place is None else ids[place]
