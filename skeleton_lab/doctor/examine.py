"""The whole examination of one archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import ntu_published
from skeleton_lab.doctor import checks, labels
from skeleton_lab.doctor.diagnosis import ERROR, Diagnosis
from skeleton_lab.doctor.intake import Part, fault, take_in
from skeleton_lab.doctor.scan import Scan, scan
from skeleton_lab.errors import LabError, UsageError, nearest
from skeleton_lab.utils.progress import clip_bar


def examine(
    path: str | Path,
    *,
    expect: str | None = None,
    label_path: str | Path | None = None,
    layout: str | None = None,
    show: bool = False,
) -> Diagnosis:
    """Read an archive once, from beginning to end, and say what is in it and what is wrong with it.

    NPZ and HDF5 files are read however ill they are; of other layouts (NPY and PKL, PYSKL, NW-UCLA, Kinetics) what
    their readers refuse is reported.

    Args:
        path: the archive, or a folder of arrays.
        expect: the published archive that it should be, "NTU60_CS" say; by default told by the file's name.
        label_path, layout: as for ``open_archive``, for layouts that need them.
        show: a progress bar on stderr.

    Raises:
        ArchiveNotFoundError: it does not exist. UsageError: ``expect`` is unknown, or ``layout`` must be said.
    """
    path = Path(path)
    if expect is not None and expect not in ntu_published.SIZES:
        raise UsageError(
            f"--expect {expect}: choose from {', '.join(ntu_published.SIZES)}.{nearest(expect, ntu_published.SIZES)}"
        )
    diagnosis, found = take_in(path, None if label_path is None else Path(label_path), layout)
    parts = {part.split: part for part in found}
    scans: dict[str, Scan] = {}
    classes: dict[str, np.ndarray] = {}
    with clip_bar(sum(part.shape[0] for part in parts.values()), f"reading {path.name}", show=show, delay=1) as bar:
        for split, part in parts.items():
            result = _one(part, diagnosis, bar.update)
            if result is not None:
                scans[split] = result
            ids = _labelled(part, result, diagnosis)
            if ids is not None:
                classes[split] = ids
    checks.check_repetition(parts, scans, diagnosis)
    if classes:
        labels.check_published(classes, expect, path.stem, diagnosis)
    shown = next((split for split, found in scans.items() if found.example is not None), None)
    if shown is not None:
        diagnosis.example, said = scans[shown].example, parts[shown].said
        if said is not None:
            diagnosis.skeleton, diagnosis.scored = said.skeleton, said.scored
    return diagnosis


def _one(part: Part, diagnosis: Diagnosis, tick) -> Scan | None:
    try:
        return scan(part, tick)
    except LabError as error:
        diagnosis.add(ERROR, *fault(error))
        return None


def _labelled(part: Part, found: Scan | None, diagnosis: Diagnosis) -> np.ndarray | None:
    """Facts and findings of one split; its labels."""
    ids, count = labels.read(part, diagnosis)
    if found is None:
        return ids
    diagnosis.splits[part.split] = checks.facts(part, found, ids, count)
    checks.check(part, found, count, diagnosis)
    if ids is not None and "column-order" not in diagnosis.codes(ERROR):
        labels.check(part, ids, count, found, diagnosis)
    return ids
