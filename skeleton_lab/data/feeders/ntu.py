"""The feeder of CTR-GCN and FreqMixFormer for NTU RGB+D archives: crop, resize, rotation, streams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.data.archives import array_clips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.locate import locate
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.feeders import pipeline
from skeleton_lab.data.feeders.base import Feeder, checked_count, checked_interval
from skeleton_lab.errors import ArchiveError
from skeleton_lab.skeletons import bones

NAMED_BY_FILE = ("npy", "pyskl", array_clips.LAYOUT)  # whose published feeders store scores under the file's own names


def open_ntu(
    data_path: str | Path | Clips | None,
    split: str,
    label_path: str | None,
    layout: str | None,
    joints: int,
    room_dir: Path | None,
) -> tuple[Clips, Sequence[str]]:
    """The clips of a split and the names that their scores are stored under; clips that are open already as they are.

    Raises:
        ArchiveError: they are not of so many joints with three coordinates; what ``open_archive`` raises.
    """
    clips = array_clips.given(data_path, layout)
    if clips is None:
        path = locate(str(data_path), room_dir)
        clips = open_archive(path, split, label_path=label_path, joints=joints, layout=layout)
    if joints != clips.V or clips.C != 3:
        raise ArchiveError(
            f"{clips.path} holds {clips.V} joints of {clips.C} coordinates, this feeder takes {joints} joints of 3"
        )
    names = clips.names if clips.layout in NAMED_BY_FILE else None
    return clips, names or [f"{split}_{i}" for i in range(len(clips))]


class NTUFeeder(Feeder):
    """Crop a clip, resize it to a window, rotate it, take the stream (Chen et al. 2021, section 4.2).

    Args:
        data_path: archive in any accepted layout (docs/data.md), or the clips of one.
        label_path: labels of a .npy archive; no effect with others.
        p_interval: [p] or p crops the middle share p; [a, b] a random share between a and b.
        split: "train" or "test", which part of the archive; changes nothing else.
        random_rot: one random rotation per sample, up to 0.3 rad about each axis.
        window_size: frames of every item.
        debug: only the first 100 samples.
        bone, vel: bone vectors instead of joints; differences of consecutive frames; both: motion of the bones.
        num_person: persons in every item; one-person clips get zeros for the second. None: as stored.
        layout: archive layout, where the file's content does not tell (docs/data.md).
        random_choose, random_shift, random_move, normalization, use_mmap: no effect, as published.

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: window_size or p_interval cannot work.
        ArchiveError, ArchiveNotFoundError, ArchiveKeyError: the archive is missing or not usable.
    """

    joints: int = 25
    unused = ("random_choose", "random_shift", "random_move", "normalization", "use_mmap")

    def __init__(
        self,
        data_path: str | Clips | None = None,
        label_path: str | None = None,
        p_interval: float | list[float] = 1,
        split: str = "train",
        random_choose: bool = False,
        random_shift: bool = False,
        random_move: bool = False,
        random_rot: bool = False,
        window_size: int = -1,
        normalization: bool = False,
        debug: bool = False,
        use_mmap: bool = False,
        bone: bool = False,
        vel: bool = False,
        num_person: int | None = 2,
        layout: str | None = None,
        **unknown: Any,
    ) -> None:
        self.accept(locals())
        recipe: list[pipeline.Step] = [
            pipeline.measure,
            pipeline.Crop(checked_interval(p_interval)),
            pipeline.Resize(checked_count("window_size", window_size)),
        ]
        if random_rot:
            recipe.append(pipeline.Rotate())
        if bone:
            recipe.append(pipeline.Bone(bones.BY_JOINTS[self.joints]))
        if vel:
            recipe.append(pipeline.motion)
        clips, names = open_ntu(data_path, split, label_path, layout, self.joints, self.room_dir)
        super().__init__(clips, recipe, names, debug)


class UAVFeeder(NTUFeeder):
    """The same recipe for the 17 joints of UAV-Human (FreqMixFormer)."""

    joints = 17
