"""NTU RGB+D 60/120 for Hyper-GCN: frames resized or drawn, shoulders aligned, random rotation, four streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders import base, pipeline
from skeleton_lab.data.feeders.frame_sampling import DrawClip
from skeleton_lab.data.feeders.ntu import open_ntu
from skeleton_lab.data.feeders.skeleton import Given
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import rules

SHOULDERS = {"left_shoulder", "right_shoulder"}


class Feeder(base.Feeder):
    """``feeders.feeder_ntu.Feeder`` of the published configurations.

    Streams: joints relative to the root of the skeleton (NTU: the spine between the shoulders); bones, of NTU with all
    fingers on the hands; with ``vel`` the motion of the absolute joints, or of the bones. The root keeps its own
    coordinates in all of them.

    Args:
        data_path: archive in any accepted layout (docs/data.md), or the clips of one.
        label_path: labels of a .npy archive; no effect with others.
        p_interval: [p] or p crops the middle share p; [a, b] a random share between a and b.
        split: "train" or "test", which part of the archive; drawn clips of the test are the same every time.
        random_rot: one random rotation per sample, up to 0.3 rad about each axis.
        window_size: frames of every item.
        debug: only the first 100 samples.
        bone, vel: the stream, see above.
        frame_sample: "resize" crops and interpolates; "clips" takes frames as they are, without ``p_interval``: short
            clips go round, of long ones frames are drawn.
        align: turn the first person's shoulders of the first frame to the x axis; no effect on hands.
        num_person: persons in every item; one-person clips get zeros for the second. None: as stored.
        layout: archive layout, where the file's content does not tell (docs/data.md).
        skeleton: of the clips, by name or as a YAML file, where the archive does not say it and it is not NTU's. Clips
            of other skeletons than that are placed about the body (docs/data.md).
        random_choose, random_shift, random_move, normalization, use_mmap, num_clips, spatial_flip, drop_joint,
            drop_axis: no effect, as published.

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: window_size, p_interval or frame_sample cannot work.
        ArchiveError, ArchiveNotFoundError, ArchiveKeyError: the archive is missing or not usable.
    """

    room_dir = Path(__file__).resolve().parents[1]
    usual = "ntu25"
    unused = (
        "random_choose", "random_shift", "random_move", "normalization", "use_mmap", "num_clips", "spatial_flip",
        "drop_joint", "drop_axis",
    )  # fmt: skip

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
        frame_sample: str = "resize",
        align: bool = False,
        num_clips: int = 1,
        spatial_flip: bool = False,
        drop_joint: bool = False,
        drop_axis: bool = False,
        num_person: int | None = 2,
        layout: str | None = None,
        skeleton: Given = None,
        **unknown: Any,
    ) -> None:
        self.accept(locals())
        window = base.checked_count("window_size", window_size)
        if frame_sample == "clips":
            recipe = [pipeline.measure, DrawClip(window, settled=split == "test")]
        elif frame_sample == "resize":
            recipe = [pipeline.measure, pipeline.Crop(base.checked_interval(p_interval)), pipeline.Resize(window)]
        else:
            raise UsageError(f"feeder argument frame_sample is 'resize' or 'clips', got {frame_sample!r}")
        clips, names, found = open_ntu(self, data_path, split, label_path, layout, skeleton)
        if align and set(found.joints) >= SHOULDERS:
            recipe.append(pipeline.Align(found.at("left_shoulder"), found.at("right_shoulder")))
        if random_rot:
            recipe.append(pipeline.Rotate())
        if bone or not vel:
            parent = rules.star(found).parent if bone else np.full(found.V, found.root)
            recipe.append(pipeline.Bone(parent, keep=found.root))
        if vel:
            recipe.append(pipeline.motion)
        super().__init__(clips, recipe, names, debug)
