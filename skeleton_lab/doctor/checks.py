"""What the measurements of the clips say: order of columns, NaN, persons, centring, units, duplicates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from skeleton_lab.data.archives import scrambled
from skeleton_lab.data.archives.ntu_protocol import PATTERN, sample
from skeleton_lab.doctor import joints
from skeleton_lab.doctor.diagnosis import ERROR, NOTE, WARNING, Diagnosis, Facts
from skeleton_lab.doctor.intake import Part
from skeleton_lab.doctor.labels import MUTUAL
from skeleton_lab.doctor.scan import Scan
from skeleton_lab.errors import listing

METRES = (0.05, 20.0)  # the median clip's largest coordinate lies between
BINS = 20  # of the histogram of lengths
SHORT = 12  # frames


def facts(part: Part, found: Scan, labels: np.ndarray | None, classes: int) -> Facts:
    N, T, M, V, C = part.shape
    pair = found.second & ~found.same
    persons = {
        "none": int((found.n == 0).sum()),
        "one": int(((found.n > 0) & ~found.second).sum()),
        "two": int(pair.sum()),
        "the same twice": int(found.same.sum()),
    }
    quartiles = np.percentile(found.n, [0, 25, 50, 75, 100], method="nearest").astype(int).tolist()
    edges = np.linspace(0, max(T, 1), BINS + 1)
    made = Facts(N, T, V, M, C, quartiles, persons, extent=float(found.extent.max(initial=0)))
    made.lengths, made.length_edges = np.histogram(found.n, edges)[0].tolist(), edges.tolist()
    if labels is not None and classes:
        usable = labels[(labels >= 0) & (labels < classes)]
        counts = np.bincount(usable, minlength=classes)
        pairs = np.bincount(usable, pair[(labels >= 0) & (labels < classes)], classes)
        made.histogram = counts.tolist()
        made.pairs = (pairs / np.maximum(counts, 1)).round(4).tolist()
        made.class_names = list(part.class_names)
    if found.joints is not None:
        joints.facts(found.joints, made)
    return made


def check(part: Part, found: Scan, classes: int, diagnosis: Diagnosis) -> None:
    """Everything about one split."""
    _finite(part, found, diagnosis)
    if not found.n.any():
        diagnosis.add(ERROR, "empty", f"{part.key}: all clips are zero")
        return
    if _order(part, found, diagnosis):
        return  # persons and places mean nothing then
    _content(part, found, diagnosis)
    if part.ntu:
        _places(part, found, diagnosis)
    if found.joints is not None and not part.ntu:
        joints.check(part.key, found.joints, diagnosis)
    _persons(part, found, classes, diagnosis)


def _finite(part: Part, found: Scan, diagnosis: Diagnosis) -> None:
    bad = found.bad >= 0
    if bad.any():
        clip = int(bad.argmax())
        diagnosis.add(
            ERROR, "nan", f"{part.key}: {bad.sum()} clips hold NaN or Inf, the first is {part.clip(clip)}, frame "
            f"{found.bad[clip]}", "leave those clips out; one of them spoils a whole batch",
        )  # fmt: skip


def _order(part: Part, found: Scan, diagnosis: Diagnosis) -> bool:
    N, _, M, V, C = part.shape
    if (M, V, C) != (2, 25, 3) or not part.ntu:
        return False
    if part.flat:
        if found.odd.sum() >= scrambled.ENOUGH * N and not found.traces[2]:
            diagnosis.add(
                ERROR, "column-order", f"{part.key}: in {found.odd.sum()} clips every second column is zero: the "
                "person varies fastest in this file, it should vary slowest (column 75m + 3v + c)",
                "make the file again from its source",
            )  # fmt: skip
            return True
        return False
    order = scrambled.verdict(found.traces, N)
    if order:
        diagnosis.add(
            ERROR, "column-order", f"{part.key}: written by a converter that mixed up joints, axes and persons "
            f"(column order {order})",
            f"convert the Kaggle file again, or repair this one: dataset_tools/convert.py --layout repair-{order}",
        )  # fmt: skip
        return True
    if not found.traces[2:].any():
        diagnosis.add(
            WARNING, "two-persons", f"{part.key}: every clip shows two different persons: a selection of two-person "
            "classes, or scrambled by an old converter",
        )  # fmt: skip
    return False


def _content(part: Part, found: Scan, diagnosis: Diagnosis) -> None:
    T = part.shape[1]
    empty, frozen = found.n == 0, found.frozen & (found.n > 0)
    gaps, short = (found.e > found.n) & ~empty, (found.n < SHORT) & ~empty
    if empty.any():
        diagnosis.add(WARNING, "empty-clips", f"{part.key}: {empty.sum()} are zero, the first is "
                      f"{part.clip(empty.argmax())}", "they teach nothing; leave them out")  # fmt: skip
    if frozen.any():
        diagnosis.add(WARNING, "frozen", f"{part.key}: nothing moves in {frozen.sum()} clips, the first is "
                      f"{part.clip(frozen.argmax())}")  # fmt: skip
    if gaps.any():
        diagnosis.add(NOTE, "gaps", f"{part.key}: {gaps.sum()} clips have empty frames before their end, the first is "
                      f"{part.clip(gaps.argmax())}")  # fmt: skip
    if short.any():
        diagnosis.add(
            NOTE,
            "short",
            f"{part.key}: {short.sum()} clips have fewer than {SHORT} frames, the first is {part.clip(short.argmax())}",
        )
    if T > 64 and (found.n == T).mean() > 0.9:
        diagnosis.add(NOTE, "no-padding", f"{part.key}: clips fill all {T} frames: repeated to the end, as MS-G3D's "
                      "generator does, not padded with zeros")  # fmt: skip


def _places(part: Part, found: Scan, diagnosis: Diagnosis) -> None:
    there = found.first
    middle = float(np.median(found.extent[found.n > 0]))
    if not METRES[0] <= middle <= METRES[1]:
        diagnosis.add(
            WARNING, "units", f"{part.key}: the largest coordinate of the median clip is {middle:.4g}; in metres it "
            "would be about 1", "scale the coordinates to metres",
        )  # fmt: skip
    if found.swapped.any():
        diagnosis.add(
            ERROR, "swapped-persons", f"{part.key}: in {found.swapped.sum()} clips person 1 stands where person 0 "
            f"should, the first is {part.clip(found.swapped.argmax())}", "person 0 is the main actor; exchange them",
        )  # fmt: skip
    share = 1 - found.centred[there].mean() if there.any() else 0.0
    if share > 0.5:
        diagnosis.add(
            WARNING, "not-centred", f"{part.key}: {100 * share:.0f} % of the clips do not begin with joint 1 of person "
            "0 at the origin: camera coordinates?", "models trained on the Kaggle file expect centred clips",
        )  # fmt: skip


def _persons(part: Part, found: Scan, classes: int, diagnosis: Diagnosis) -> None:
    if part.shape[2] > 1 and found.same.mean() > 0.3:
        usual = classes == 120
        diagnosis.add(
            NOTE if usual else WARNING, "doubled", f"{part.key}: {100 * found.same.mean():.0f} % of the clips hold the "
            "same person twice" + (", as in the published NTU 120 files" if usual else ""),
        )  # fmt: skip
    if part.shape[2] > 1 and classes in (60, 120) and not found.second.any():
        diagnosis.add(
            NOTE, "one-person", f"{part.key}: no clip has a second person; classes {min(MUTUAL)}..59 are of two"
        )


def check_repetition(parts: Mapping[str, Part], scans: Mapping[str, Scan], diagnosis: Diagnosis) -> None:
    """The same clip twice in a split, or in both; the same people in both."""
    seen: dict[str, np.ndarray] = {}
    for split, found in scans.items():
        full = np.flatnonzero(found.n > 1)
        seen[split] = found.digest[full]
        _, first, counts = np.unique(seen[split], return_index=True, return_counts=True)
        if (counts > 1).any():
            which = first[counts > 1].min()
            twin = np.flatnonzero(seen[split] == seen[split][which])[1]
            diagnosis.add(
                WARNING, "duplicates", f"{parts[split].key}: {(counts - 1).sum()} clips repeat an earlier one: "
                f"{parts[split].clip(full[twin])} is {parts[split].clip(full[which])} again",
                "they count twice; leave one out",
            )  # fmt: skip
    if len(seen) == 2:
        both = np.isin(seen["test"], seen["train"])
        if both.any():
            row = np.flatnonzero(scans["test"].n > 1)[both.argmax()]
            diagnosis.add(
                ERROR, "leak", f"{len(np.unique(seen['test'][both]))} test clips are training clips as well, the first "
                f"is {parts['test'].clip(row)}", "test accuracy would be too high; remove them from one of the splits",
            )  # fmt: skip
    _people(parts, diagnosis)


def _people(parts: Mapping[str, Part], diagnosis: Diagnosis) -> None:
    said = [part.said for part in parts.values() if part.said is not None and part.said.subject_names]
    if len(said) == 2:
        both = [said[0].subject_names[k] for k in np.intersect1d(said[0].subjects, said[1].subjects)]
        if both:
            diagnosis.add(
                WARNING, "subjects", f"subjects of both splits: {listing(both[:8])}"
                + (f" and {len(both) - 8} more" if len(both) > 8 else ""),
                "a network knows their way of moving; divide by subject",
            )  # fmt: skip
    named = [part.names for part in parts.values() if part.names and all(map(PATTERN.fullmatch, part.names))]
    if len(named) < 2:
        return
    train, test = ([sample(name) for name in names] for names in named)
    fields = ("performer", "camera", "setup")
    mixed = [f for f in fields if {getattr(s, f) for s in train} & {getattr(s, f) for s in test}]
    if len(mixed) == len(fields):
        diagnosis.add(
            WARNING, "mixed", "performers, cameras and setups of the test clips all occur in training: no published "
            "division keeps none of them apart", "divide by performer (cross-subject) or camera (cross-view)",
        )  # fmt: skip
