"""Labels as they are in a file: read as far as they can be, with findings for the rest."""

from __future__ import annotations

from collections import Counter

import numpy as np

from skeleton_lab.data.archives import ntu_published
from skeleton_lab.data.archives.ntu_protocol import PATTERN, TWO_PERSONS, sample
from skeleton_lab.doctor.diagnosis import ERROR, NOTE, WARNING, Diagnosis
from skeleton_lab.doctor.intake import Part
from skeleton_lab.doctor.scan import Scan

KNOWN = (60, 120)  # classes of NTU RGB+D
MUTUAL = frozenset(action - 1 for action in TWO_PERSONS)
LEAST = 2  # classes of which ids 1..K mean that they count from 1
ENOUGH = 5  # clips of a class before its share of two-person clips means something
MOST_CLASSES = 10_000  # a label above is damage, not a class
NONE = -1  # a row without a usable label


def read(part: Part, diagnosis: Diagnosis) -> tuple[np.ndarray | None, int]:
    """Class of each clip, ``NONE`` where there is none, and the number of classes."""
    y = part.y
    if y is None:
        return None, 0
    key = part.key.replace("x_", "y_")
    if y.ndim not in (1, 2) or y.dtype.kind not in "biuf" or (y.ndim == 2 and y.shape[1] < 2):
        diagnosis.add(ERROR, "label-shape", f"{key} has shape {y.shape}, type {y.dtype}; (N,) ids or (N, K) one-hot")
        return None, 0
    if y.ndim == 2:
        return _one_hot(part, y, key, diagnosis), y.shape[1]
    named = len(part.class_names)
    known = (named,) if named else KNOWN if part.ntu else ()
    return _ids(part, y, key, known, diagnosis)


def _one_hot(part: Part, y: np.ndarray, key: str, diagnosis: Diagnosis) -> np.ndarray:
    positive = y > 0
    wrong = positive.sum(1) != 1
    if y.dtype.kind == "f":
        wrong |= ~np.isfinite(y).all(1)
    if wrong.any():
        row = int(wrong.argmax())
        diagnosis.add(
            ERROR, "one-hot", f"{key}: {wrong.sum()} rows are not one-hot, the first is {_row(part, row)} with "
            f"{int(positive[row].sum())} entries above 0", "such rows shift all later labels in the published readers",
        )  # fmt: skip
    return np.where(wrong, NONE, positive.argmax(1))


def _row(part: Part, row: int) -> str:
    return f"row {row}" + (f" ({part.names[row]})" if part.names else "")


def _ids(part: Part, y: np.ndarray, key: str, known: tuple[int, ...], diagnosis: Diagnosis) -> tuple[np.ndarray, int]:
    with np.errstate(invalid="ignore"):
        usable = (y >= 0) & (y < MOST_CLASSES)  # False for NaN
    whole = usable & (np.where(usable, y, 0) % 1 == 0)
    if not whole.all():
        row = int((~whole).argmax())
        diagnosis.add(
            ERROR,
            "label-values",
            f"{key}: {(~whole).sum()} labels are no class ids, the first is {y[row]} in {_row(part, row)}",
        )
    labels = np.where(whole, y, NONE).astype(np.int64)
    low, high = labels[whole].min(initial=0 if not whole.any() else 2**31), labels.max(initial=0)
    every = low == 1 and high >= LEAST and set(labels[whole].tolist()) == set(range(1, int(high) + 1))
    told = _told(part)
    if (low >= 1 and high in known) or (every and (told is None or (told != labels).any())):
        diagnosis.add(
            ERROR, "one-based", f"{key} runs from {low} to {high}: labels count from 1",
            f"take 1 off: dataset_tools/convert.py --num-class {high} does",
        )  # fmt: skip
    classes = next((K for K in known if high < K), int(high) + 1)
    return labels, classes


def check(part: Part, labels: np.ndarray, classes: int, found: Scan, diagnosis: Diagnosis) -> None:
    """Classes without clips, and labels that do not belong to their clips."""
    missing = np.setdiff1d(np.arange(classes), labels)
    if len(missing):
        level = WARNING if len(missing) <= classes // 2 else NOTE
        told = part.class_names or tuple(map(str, range(classes)))
        shown = (", " if part.class_names else " ").join(told[k] for k in missing[:12]) + (
            f" and {len(missing) - 12} more" if len(missing) > 12 else ""
        )
        diagnosis.add(level, "classes", f"{part.key}: {len(missing)} of {classes} classes have no clip: {shown}")
    twice = sorted({name for name, count in Counter(part.class_names).items() if count > 1 or not name})
    if twice:
        said = ", ".join(f"'{name}'" for name in twice[:4])
        diagnosis.add(
            WARNING, "class-names", f"{part.key}: class_names do not tell classes apart: {said}",
            "reports and confusion matrices show classes by their names",
        )  # fmt: skip
    _against_names(part, labels, diagnosis)
    _against_persons(part, labels, found, diagnosis)


def _told(part: Part) -> np.ndarray | None:
    """The labels that the names of NTU RGB+D tell, where the archive has no classes of its own."""
    if not part.names or part.class_names or not all(PATTERN.fullmatch(name) for name in part.names):
        return None
    return np.array([sample(name).label for name in part.names])


def _against_names(part: Part, labels: np.ndarray, diagnosis: Diagnosis) -> None:
    told = _told(part)
    if told is None:
        return
    wrong = told != labels
    if not wrong.any():
        return
    how = ""
    for shift in (1, -1):
        if (np.roll(told, shift) == labels).mean() > 0.9:
            how = f": every label belongs to the row {'before' if shift > 0 else 'behind'} it"
        elif (told + shift == labels).mean() > 0.9:
            how = f": every label is {abs(shift)} too {'high' if shift > 0 else 'low'}"
    diagnosis.add(
        ERROR, "shifted-labels", f"{part.key}: {wrong.sum()} of {len(wrong)} labels are not those of the sample names"
        f"{how}; the first is {_row(part, int(wrong.argmax()))}", "make the file again from its source",
    )  # fmt: skip


def _against_persons(part: Part, labels: np.ndarray, found: Scan, diagnosis: Diagnosis) -> None:
    """Actions of two people show two people, the others rarely do (25 joints, NTU classes)."""
    _, _, M, V, _ = part.shape
    if (M, V) != (2, 25) or not part.ntu or part.class_names or labels.max(initial=0) >= max(KNOWN):
        return
    pair = found.second & ~found.same
    strange = []
    for k in np.unique(labels[labels >= 0]):
        mine = labels == k
        share = pair[mine].mean()
        if mine.sum() >= ENOUGH and (share < 0.3 if int(k) in MUTUAL else share > 0.7):
            strange.append(f"{k} ({100 * share:.0f} %)")
    if strange:
        told = ", ".join(strange[:8]) + (f" and {len(strange) - 8} more" if len(strange) > 8 else "")
        diagnosis.add(
            ERROR if len(strange) > 1 else WARNING, "persons-by-class",
            f"{part.key}: classes whose share of two-person clips does not fit the action: {told}",
            "labels or clips have been moved against each other, or the classes are not those of NTU RGB+D",
        )  # fmt: skip


def check_published(labels: dict[str, np.ndarray], expect: str | None, stem: str, diagnosis: Diagnosis) -> None:
    """Sizes of the splits against the published ones, and then row by row the labels that the names tell."""
    counts = {split: len(y) for split, y in labels.items()}
    archive = ntu_published.by_size(counts) if len(counts) == 2 else None
    wanted = expect or (stem if stem in ntu_published.SIZES else None)
    if wanted and archive != wanted:
        _another_size(wanted, archive, counts, expect is not None, diagnosis)
    elif archive is None and len(counts) == 2:
        total = sum(counts.values())
        if any(total == sum(size) for size in ntu_published.SIZES.values()):
            diagnosis.add(
                WARNING, "split-size", f"{counts['train']} + {counts['test']} clips are all of NTU RGB+D, but no "
                "published division",
            )  # fmt: skip
    if archive is None:
        return
    wrong = {split: ntu_published.disagreeing(archive, split, y) for split, y in labels.items()}
    if not any(wrong.values()):
        diagnosis.archive = archive
        diagnosis.add(
            NOTE, "named", f"rows are those of {archive}: counts and all labels agree, so every row has a name"
        )
        return
    told = ", ".join(f"{count} in {split}" for split, count in wrong.items())
    diagnosis.add(
        ERROR if sum(wrong.values()) > 0.01 * sum(counts.values()) else WARNING, "shifted-labels",
        f"as many clips as {archive}, but labels disagree with its rows: {told}; rows stay unnamed",
        "labels or clips have been moved, or the file is in another order than the published one",
    )  # fmt: skip


def _another_size(wanted: str, found: str | None, counts: dict[str, int], sure: bool, diagnosis: Diagnosis) -> None:
    sizes = dict(zip(ntu_published.SPLITS, ntu_published.SIZES[wanted]))
    told = ", ".join(f"{counts[s]} {s} clips instead of {sizes[s]}" for s in counts if counts[s] != sizes[s])
    if found:
        told += f"; these are the sizes of {found}"
    elif counts.get("train") == sizes["test"] and counts.get("test") == sizes["train"]:
        told += "; train and test have changed places"
    whole = sum(counts.values()) >= 0.9 * sum(sizes.values())
    diagnosis.add(
        ERROR if sure or whole else WARNING, "split-size", f"{wanted} has {told}",
        "results on it do not compare with published ones" + ("" if whole else "; a selection?"),
    )  # fmt: skip
