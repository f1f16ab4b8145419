"""``skeleton-lab convert --descriptors FOLDER --output FILE.npz``: many small files become one that is mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.descriptors.files import Descriptors, open_descriptors
from skeleton_lab.data.archives.writers.streaming import Rows, write_npz
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.atomic import check_output
from skeleton_lab.utils.progress import clip_bar


def pack(source: Path, target: Path, show: bool = True) -> Descriptors:
    """Write the descriptors of ``source`` to the NPZ ``target``, one clip at a time in memory; returns the new ones.

    Values keep the type that holds those of all files, and NaN stays (``skeleton-lab check --descriptors`` finds it).

    Raises:
        UsageError: the target cannot be written, or the source has no names. ArchiveError: it is damaged.
    """
    check_output("--output", target, ".npz", source)
    found = open_descriptors(source, show)
    if found.names is None:
        raise UsageError(f"--descriptors {source}: an array in the order of rows is mapped as it is; leave it so")
    total = int(found.lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(found.lengths)])
    with clip_bar(len(found), f"writing {target.name}", show=show, delay=1) as bar:
        try:
            write_npz(
                target,
                {
                    "names": _whole(np.array(found.names)),
                    "offsets": _whole(offsets.astype(np.int64)),
                    "values": Rows((total, found.D), found.dtype, _values(found, bar.update)),
                },
            )
        except OSError as error:
            raise UsageError(f"--output {target} cannot be written: {error.strerror or error}") from error
    return open_descriptors(target)


def _whole(array: np.ndarray) -> Rows:
    return Rows(array.shape, array.dtype, [array])


def _values(found: Descriptors, tick: Callable[[], object]) -> Iterator[np.ndarray]:
    for entry in range(len(found)):
        yield found.raw(entry)
        tick()
