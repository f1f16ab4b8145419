"""What a file says of its own clips, for the doctor: a member that does not fit is a finding."""

from __future__ import annotations

import contextlib

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.labels import class_ids
from skeleton_lab.data.archives.readers import h5, npz
from skeleton_lab.doctor.diagnosis import ERROR, Diagnosis
from skeleton_lab.errors import LabError
from skeleton_lab.skeletons.layouts import Layout


def skeleton(file: npz.Npz | h5.H5, diagnosis: Diagnosis) -> Layout | None:
    """The skeleton that an open file says, None with a finding where it is none."""
    try:
        return about.skeleton_in(file)
    except LabError as error:
        diagnosis.add(
            ERROR, "skeleton", str(error), "docs/data.md says what the members of an archive of one's own are"
        )
        return None


def clips(
    file: npz.Npz | h5.H5, split: str, shape: tuple[int, int, int, int, int], y: np.ndarray | None, diagnosis: Diagnosis
) -> Clips | None:
    """Clips without coordinates, with what a file with the member ``skeleton`` says of them; None with a finding.

    Args:
        shape: (N, T, M, V, C). y: labels as they are in the file.
    """
    N, T, M, V, C = shape
    labels, columns = np.zeros(N, np.int64), None
    if y is not None:
        with contextlib.suppress(LabError):  # the labels' own findings say what is wrong
            labels, columns = class_ids(y, "")
    made = Clips(file.path, "5d", (C, T, V, M), labels, num_class=columns)
    try:
        about.read(file, split, made)
    except LabError as error:
        diagnosis.add(ERROR, "members", str(error), "no program reads the archive like this")
        return None
    return made
