"""The feeder of CTR-GCN and FreqMixFormer for NTU RGB+D archives: crop, resize, rotation, streams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import array_clips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.locate import locate
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.feeders import pipeline
from skeleton_lab.data.feeders import skeleton as skeletons
from skeleton_lab.data.feeders.base import Feeder, checked_count, checked_interval
from skeleton_lab.data.feeders.skeleton import Given
from skeleton_lab.skeletons import bones, layouts
from skeleton_lab.skeletons.layouts import Layout

NAMED_BY_FILE = ("npy", "pyskl", array_clips.LAYOUT)  # whose published feeders store scores under the file's own names


def open_ntu(
    feeder: Feeder,
    data_path: str | Path | Clips | None,
    split: str,
    label_path: str | None,
    layout: str | None,
    skeleton: Given,
) -> tuple[Clips, Sequence[str], Layout]:
    """The clips of a split, the names that their scores are stored under, and their skeleton, which the feeder knows.

    Clips that are open already stay as they are.

    Args:
        feeder: of a ``usual`` skeleton; skeleton: of the clips, where it is another and they do not say so.

    Raises:
        ArchiveError: nothing tells the skeleton of the clips; what ``open_archive`` raises. UsageError: another one.
    """
    assert feeder.usual is not None
    expected = layouts.layout(feeder.usual if skeleton is None else skeleton)
    clips = array_clips.given(data_path, layout)
    if clips is None:
        path = locate(str(data_path), feeder.room_dir)
        ntu = (
            skeleton is None and feeder.usual == "ntu25"
        )  # which is what files are that say nothing, unless they say it
        joints = None if ntu else expected.V
        clips = open_archive(path, split, label_path=label_path, joints=joints, layout=layout)
    found = skeletons.required(clips, skeleton, expected)
    clips = feeder.know(clips, skeleton, found)
    return clips, _names(clips, feeder, found) or [f"{split}_{i}" for i in range(len(clips))], found


def _names(clips: Clips, feeder: Feeder, found: Layout) -> Sequence[str] | None:
    """Of the file, where scores are stored under them: published arrays' and, where they differ, an own archive's."""
    own = clips.class_names is not None or found.name != feeder.usual
    if clips.layout in NAMED_BY_FILE or (own and clips.names and len(set(clips.names)) == len(clips.names)):
        return clips.names
    return None


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
        skeleton: of the clips, by name or as a YAML file, where the archive does not say it and it is not NTU's. Clips
            of other skeletons than that are placed about the body (docs/data.md).
        random_choose, random_shift, random_move, normalization, use_mmap: no effect, as published.

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: window_size or p_interval cannot work.
        ArchiveError, ArchiveNotFoundError, ArchiveKeyError: the archive is missing or not usable.
    """

    joints: int = 25
    usual = "ntu25"
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
        skeleton: Given = None,
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
        clips, names, found = open_ntu(self, data_path, split, label_path, layout, skeleton)
        if bone:
            recipe.append(pipeline.Bone(self.parents(found)))
        if vel:
            recipe.append(pipeline.motion)
        super().__init__(clips, recipe, names, debug)

    def parents(self, skeleton: Layout) -> np.ndarray:
        """(V,) int64, the joint that each bone of the bone streams starts from."""
        return skeleton.parent


class UAVFeeder(NTUFeeder):
    """The same recipe for the 17 joints of UAV-Human (FreqMixFormer), as published: three channels are coordinates.

    With the argument ``skeleton`` its 17 joints are those of COCO, as the data set's own tools say.
    """

    joints = 17
    usual = "uav17"

    def as_published(self, clips: Clips, given: Given, found: Layout) -> bool:
        return given is None and found.name == self.usual

    def parents(self, skeleton: Layout) -> np.ndarray:
        return skeleton.parent if self.placed else bones.UAV
