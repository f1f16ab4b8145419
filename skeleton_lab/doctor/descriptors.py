"""Descriptors beside an archive, examined: whose they are, and what their values look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.descriptors.beside import NONE, Beside, beside
from skeleton_lab.data.archives.descriptors.files import LARGEST, Descriptors, open_descriptors, usable
from skeleton_lab.doctor.diagnosis import ERROR, NOTE, WARNING, Diagnosis
from skeleton_lab.doctor.intake import fault
from skeleton_lab.errors import LabError, listing
from skeleton_lab.utils.progress import clip_bar

FIRST = 4  # names that a finding shows
UNIT = 1e-3  # so near to 1 the norms of normalised vectors are


@dataclass
class Seen:
    """What one pass over the values finds; places are entries."""

    bad: list[int] = field(default_factory=list)  # with NaN, Inf or values that nobody can compute with
    constant: list[int] = field(default_factory=list)  # all values of all vectors the same: zeros, mostly
    still: list[int] = field(default_factory=list)  # several vectors, all the same
    repeated: list[tuple[int, int]] = field(default_factory=list)  # the entry, and the earlier one that it repeats
    norms: list[float] = field(default_factory=list)  # mean over the vectors of an entry


def examine(
    path: Path, archive: Path, diagnosis: Diagnosis, *, label_path: Path | None, layout: str | None, show: bool
) -> None:
    """Add what is in descriptors, and what is wrong with them, to the diagnosis of their archive."""
    try:
        descriptors = open_descriptors(path, show)
        parts = both_splits.open_source(archive, label_path=label_path, layout=layout)
        found = beside(descriptors, parts, archive)
    except LabError as error:
        code, message, advice = fault(error)
        diagnosis.add(ERROR, f"descriptors-{code}", message, advice)
        return
    seen = _scan(descriptors, show)
    diagnosis.descriptors = _facts(found, parts, seen)
    _belonging(found, parts, diagnosis)
    _values(descriptors, seen, diagnosis)
    _frames(found, parts, diagnosis)


def _scan(descriptors: Descriptors, show: bool) -> Seen:
    seen, digests = Seen(), {}
    with clip_bar(len(descriptors), f"reading {descriptors.path.name}", show=show, delay=1) as bar:
        for entry in range(len(descriptors)):
            with np.errstate(over="ignore", invalid="ignore"):
                values = np.asarray(descriptors.raw(entry), np.float32)
            bar.update()
            if not usable(values):
                seen.bad.append(entry)
                continue
            seen.norms.append(float(np.linalg.norm(values, axis=1).mean()))
            if (values == values[0, 0]).all():
                seen.constant.append(entry)
            elif len(values) > 1 and (values == values[0]).all():
                seen.still.append(entry)
            digest = blake2b(values.tobytes(), digest_size=16).digest()
            if digest in digests:
                seen.repeated.append((entry, digests[digest]))
            digests.setdefault(digest, entry)
    return seen


def _facts(found: Beside, parts: dict[str, Clips], seen: Seen) -> dict[str, Any]:
    lengths, norms = found.descriptors.lengths, np.array(seen.norms or [0.0])
    return {
        "path": str(found.descriptors.path), "clips": len(found.descriptors), "D": found.descriptors.D,
        "vectors": [int(lengths.min()), int(np.median(lengths)), int(lengths.max())],
        "norm": [float(norms.min()), float(np.median(norms)), float(norms.max())],
        "missing": {split: len(found.missing(split)) for split in parts}, "surplus": len(found.surplus),
    }  # fmt: skip


def _belonging(found: Beside, parts: dict[str, Clips], diagnosis: Diagnosis) -> None:
    for split, clips in parts.items():
        rows = found.missing(split)
        if len(rows):
            first = [clips.names[k] if clips.names else f"row {k}" for k in rows[:FIRST].tolist()]
            diagnosis.add(
                WARNING, "descriptors-missing", f"{len(rows)} of {len(clips)} {split} clips have no descriptor: "
                f"{_some(first, len(rows))}", "models take them by their skeleton alone",
            )  # fmt: skip
    if found.surplus:
        diagnosis.add(
            NOTE, "descriptors-surplus", f"{len(found.surplus)} descriptors are of no clip: "
            f"{_some(found.surplus[:FIRST], len(found.surplus))}",
        )  # fmt: skip


def _some(names: Any, count: int) -> str:
    return listing(names) + (f" and {count - len(names)} more" if count > len(names) else "")


def _values(descriptors: Descriptors, seen: Seen, diagnosis: Diagnosis) -> None:
    def told(entries: list[int]) -> str:
        return _some([descriptors.shown(k) for k in entries[:FIRST]], len(entries))

    if seen.bad:
        diagnosis.add(
            ERROR, "descriptors-nan", f"{len(seen.bad)} descriptors hold NaN, Inf or values beyond "
            f"{LARGEST:g}: {told(seen.bad)}",
            "make them again or leave them out",
        )  # fmt: skip
    if seen.constant:
        diagnosis.add(
            WARNING, "descriptors-constant", f"{len(seen.constant)} descriptors are constant: {told(seen.constant)}",
            "an image that could not be read? A clip without a descriptor had better have none",
        )  # fmt: skip
    if seen.still:
        diagnosis.add(
            WARNING, "descriptors-still", f"{len(seen.still)} clips have one vector all the time: {told(seen.still)}",
            "one vector of the clip, (D,), says that and takes less room",
        )  # fmt: skip
    constant = set(seen.constant)
    repeated = [pair for pair in seen.repeated if pair[0] not in constant]
    if repeated:
        later, first = repeated[0]
        diagnosis.add(
            WARNING, "descriptors-repeated", f"{len(repeated)} descriptors repeat an earlier one: "
            f"{descriptors.shown(later)} has that of {descriptors.shown(first)}", "were files written twice?",
        )  # fmt: skip
    norms = np.array(seen.norms)
    if len(norms) and (np.abs(norms - 1) < UNIT).all():
        diagnosis.add(NOTE, "descriptors-unit", "all vectors have length 1: they are normalised")


def _frames(found: Beside, parts: dict[str, Clips], diagnosis: Diagnosis) -> None:
    """Vectors of a clip against its recorded frames."""
    if not found.descriptors.per_frame:
        return
    more, same, total, first = 0, 0, 0, ""
    for split, clips in parts.items():
        rows = np.flatnonzero(found.entries[split] != NONE)
        vectors, frames = found.descriptors.lengths[found.entries[split][rows]], clips.recorded(rows)
        total, same, beyond = total + len(rows), same + int((vectors == frames).sum()), vectors > frames
        more += int(beyond.sum())
        if beyond.any() and not first:
            k = int(beyond.argmax())
            first = f"{found.descriptors.shown(found.entries[split][rows[k]])} has {vectors[k]} of {frames[k]} frames"
    if more:
        diagnosis.add(
            WARNING, "descriptors-frames", f"{more} of {total} clips have more vectors than recorded frames: {first}",
            "vectors are taken as evenly spread over the clip; was the archive cut or resampled?",
        )  # fmt: skip
    rest = "" if same == total else "; those of the others are taken as evenly spread over the clip"
    diagnosis.add(NOTE, "descriptors-time", f"{same} of {total} clips have a vector for every recorded frame{rest}")
