"""``evaluation.npz``: what the network said of every test clip, and what is known of the clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError
from skeleton_lab.utils.reliability import Reliability, measured

FILE = "evaluation.npz"
OF_CLIPS = {"names": "U", "subjects": "Ui", "frames": "iu"}  # members that tell something of each clip, and their types


@dataclass
class Evaluation:
    """The last evaluation: class and predicted class of N samples, K classes.

    Attributes:
        names: (N,) text, of the clips; subjects: (N,) numbers or text, who is seen; frames: (N,) recorded ones; where
            the file has them.
    """

    labels: np.ndarray  # (N,) int64
    pred: np.ndarray  # (N,) int64
    top5: float
    num_class: int
    epoch: int | None = None  # of the weights; in the file 0 where it is not known
    class_names: list[str] = field(default_factory=list)  # that the archive of the clips tells
    names: np.ndarray | None = None
    reliability: Reliability | None = None  # where all logits are finite
    subjects: np.ndarray | None = None
    frames: np.ndarray | None = None


def arrays(path: Path, required: tuple[str, ...], notices: list[str]) -> dict[str, np.ndarray] | None:
    """The members of an NPZ file, or None with a notice if it or a required one cannot be read. Never unpickles."""
    if not path.is_file():
        return None
    found: dict[str, np.ndarray] = {}
    try:
        with parsing(path), np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                try:
                    found[key] = archive[key]
                except ValueError:  # an object array: left out
                    continue
    except ArchiveError as error:
        notices.append(f"{path.name} cannot be read ({type(error.__cause__).__name__}): its part is left out.")
        return None
    lacking = [key for key in required if key not in found]
    if lacking:
        notices.append(f"{path.name} lacks {', '.join(lacking)}: its part is left out.")
        return None
    return found


def read(work_dir: Path, notices: list[str], brief: bool = False) -> Evaluation | None:
    """The file of a work dir; None, with a notice, where it is missing its main parts or damaged.

    ``brief``: without how sure the network was.
    """
    members = arrays(work_dir / FILE, ("logits", "labels"), notices)
    if members is None:
        return None
    logits, labels = members["logits"], members["labels"]
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not logits.size:
        notices.append(f"{FILE}: shapes {logits.shape} and {labels.shape} do not fit: left out.")
        return None
    told = {key: _of_rows(members, key, kinds) for key, kinds in OF_CLIPS.items()}
    num_class = logits.shape[1]
    if logits.dtype.kind not in "fiu" or labels.dtype.kind not in "iu":
        notices.append(f"{FILE}: of {logits.dtype} and {labels.dtype}, not numbers and classes: left out.")
        return None
    known = (labels >= 0) & (labels < num_class)
    if not known.all():
        notices.append(f"{FILE}: {int((~known).sum())} label(s) outside 0..{num_class - 1} left out.")
    logits, labels = logits[known], labels[known].astype(np.int64)
    if not len(labels):
        return None
    pred, top5 = _ranked(np.nan_to_num(logits, nan=-np.inf), labels)
    words = members.get("class_names", np.arange(0))
    classes = words.tolist() if words.ndim == 1 and words.dtype.kind == "U" else []
    return Evaluation(
        labels=labels, pred=pred, top5=top5, num_class=num_class, epoch=_epoch(members),
        class_names=classes[:num_class],
        reliability=measured(logits, labels) if not brief and np.isfinite(logits).all() else None,
        **{key: None if values is None else values[known] for key, values in told.items()},
    )  # fmt: skip


def _epoch(members: dict[str, np.ndarray]) -> int | None:
    told = members.get("epoch")
    return int(told.reshape(())) if told is not None and told.size == 1 and told.dtype.kind in "iu" else None


def _ranked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """The best class of every clip, and how many have theirs among the best five; of equal logits the first is better.

    Counted, not sorted: a tenth of the time for 120 classes.
    """
    true = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1]) < labels[:, None]
    better = (logits > true).sum(1) + ((logits == true) & before).sum(1)
    return logits.argmax(1), float((better < 5).mean())


def _of_rows(members: dict[str, np.ndarray], key: str, kinds: str) -> np.ndarray | None:
    """A member with an entry for every row, of one of some kinds of numbers or text; None: there is none such."""
    found = members.get(key)
    fits = found is not None and found.shape == members["labels"].shape and found.dtype.kind in kinds
    return found if fits else None
