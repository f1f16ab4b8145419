"""Whole clips for MS-G3D from the Kaggle file of NTU RGB+D, person by person, joint by joint."""

from __future__ import annotations

from feeders.feeder import Feeder
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders.skeleton import Given


class KaggleFeeder(Feeder):
    """``feeders.kaggle_feeder.KaggleFeeder``: ``Feeder`` for an NPZ with both splits.

    A column of the file is person, joint, coordinate. An earlier feeder of this name read joint, coordinate, person;
    for weights trained that way there is ``layout="scrambled-vcm"``.

    Args:
        data_path: archive in any accepted layout (docs/data.md), or the clips of one.
        split: "train" or "test".
        num_person: persons in every item; one-person clips get zeros for the second. None: as stored.
        others: see ``Feeder``.
    """

    def __init__(
        self,
        data_path: str | Clips | None = None,
        split: str = "train",
        random_choose: bool = False,
        random_shift: bool = False,
        random_move: bool = False,
        window_size: int = -1,
        normalization: bool = False,
        debug: bool = False,
        use_mmap: bool = False,
        label_path: str | None = None,
        num_person: int | None = 2,
        layout: str | None = None,
        crop: str | None = None,
        bone: bool = False,
        vel: bool = False,
        skeleton: Given = None,
        **unknown: object,
    ) -> None:
        super().__init__(
            data_path, label_path, random_choose, random_shift, random_move, window_size, normalization, debug,
            use_mmap, split, num_person, layout, crop, bone, vel, skeleton, **unknown,
        )  # fmt: skip
