"""Which published NTU archive a file is, by its number of clips and its labels; and so the names of its rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from skeleton_lab.data.archives.ntu_protocol import row_names, sample

# Clips of (train, test), missing skeletons left out (Shahroudy et al. 2016, Liu et al. 2019).
SIZES = {
    "NTU60_CS": (40091, 16487),
    "NTU60_CV": (37646, 18932),
    "NTU120_CSub": (63026, 50919),
    "NTU120_CSet": (54468, 59477),
}
SPLITS = ("train", "test")


def by_size(counts: Mapping[str, int]) -> str | None:
    """The archive that has exactly these numbers of clips in the splits given, else None."""
    known = [k for k in SPLITS if k in counts]
    for archive, sizes in SIZES.items():
        if known and all(counts[k] == sizes[SPLITS.index(k)] for k in known):
            return archive
    return None


def disagreeing(archive: str, split: str, labels: np.ndarray) -> int:
    """Rows of a file with the archive's number of clips whose label is not what the row's name says."""
    expected = np.array([sample(name).label for name in row_names(archive, split)])
    return int((expected != labels).sum())


def names_of_rows(labels: Mapping[str, np.ndarray]) -> tuple[str, dict[str, list[str]]] | None:
    """The archive and the sample names of all rows, if the numbers of clips and every label agree; else None."""
    archive = by_size({split: len(y) for split, y in labels.items()})
    if archive is None or any(disagreeing(archive, split, y) for split, y in labels.items()):
        return None
    return archive, {split: row_names(archive, split) for split in labels}
