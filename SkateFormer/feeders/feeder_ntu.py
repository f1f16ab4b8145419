"""NTU RGB+D 60/120 for SkateFormer: frames with their times, its augmentations, four streams, joints by partition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feeders import augment
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders import base, pipeline
from skeleton_lab.data.feeders.frame_sampling import TimedFrames, UniformCrop
from skeleton_lab.data.feeders.ntu import open_ntu
from skeleton_lab.data.feeders.skeleton import Given
from skeleton_lab.skeletons import bones, rules


class Feeder(augment.TimedFeeder):
    """``feeders.feeder_ntu.Feeder`` of the published configurations; items are (data, index_t, label, index).

    Args:
        data_path: archive in any accepted layout (docs/data.md), or the clips of one.
        label_path: labels of a .npy archive; no effect with others.
        p_interval: [p] or p crops the middle share p; [a, b] a random share between a and b.
        split: "train" or "test", which part of the archive; "train" also switches the augmentations on.
        data_type: "j" joints, "b" bones, "jm" and "bm" their motion; anything else is joints, as published.
        aug_method: characters of the augmentations within a clip: a swap persons, b drop the first person, 1 shear,
            2 rotate, 3 scale, 4 exchange left and right, 5 reverse, 6 noise, 7 blur, 8 drop a coordinate, 9 drop
            joints in some frames. Others are ignored, as published.
        intra_p, inter_p: probabilities of augmentation within a clip, and of taking another clip's bone lengths.
        window_size: frames of every item.
        debug: only the first 100 samples.
        thres: frames that a crop has at least, if the clip has them.
        uniform: take frames as they are, one of each stretch, instead of interpolating. Shorter crops are resized.
        partition: joints in the order of the network's partitions: of NTU 24, its 21st is left out; of others some may
            be there twice, to fill their group.
        num_person: persons in every item; one-person clips get zeros for the second. None: as stored.
        layout: archive layout, where the file's content does not tell (docs/data.md).
        skeleton: of the clips, by name or as a YAML file, where the archive does not say it and it is not NTU's. Clips
            of other skeletons than that are placed about the body (docs/data.md).

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: a number cannot work.
        ArchiveError, ArchiveNotFoundError, ArchiveKeyError: the archive is missing or not usable.
    """

    room_dir = Path(__file__).resolve().parents[1]
    usual = "ntu25"

    def __init__(
        self,
        data_path: str | Clips | None = None,
        label_path: str | None = None,
        p_interval: float | list[float] = 1,
        split: str = "train",
        data_type: str = "j",
        aug_method: str = "z",
        intra_p: float = 0.5,
        inter_p: float = 0.0,
        window_size: int = -1,
        debug: bool = False,
        thres: int = 64,
        uniform: bool = False,
        partition: bool = False,
        num_person: int | None = 2,
        layout: str | None = None,
        skeleton: Given = None,
        **unknown: Any,
    ) -> None:
        self.accept(locals())
        window, least = base.checked_count("window_size", window_size), base.checked_count("thres", thres)
        interval = base.checked_interval(p_interval)
        crop = UniformCrop(interval, least) if uniform else pipeline.Crop(interval, least)
        recipe = [pipeline.measure, crop, TimedFrames(window, uniform, random=len(interval) == 2)]
        chances = base.checked_share("intra_p", intra_p), base.checked_share("inter_p", inter_p)
        clips, names, found = open_ntu(self, data_path, split, label_path, layout, skeleton)
        parent = rules.tokens_parent(found)
        if split == "train":
            recipe.append(augment.Augment(str(aug_method), *chances, augment.BoneLengths(parent)))
        if data_type in ("b", "bm"):
            recipe.append(pipeline.Bone(parent))
        if data_type in ("jm", "bm"):
            recipe.append(pipeline.motion)
        if partition:
            recipe.append(pipeline.Joints(order := rules.groups(found).order))
        super().__init__(clips, recipe, names)
        if partition:
            self.edges = bones.ordered_edges(parent, order)
        self.choose(split, debug)

    def choose(self, split: str, debug: bool) -> None:
        """Which clips are in use."""
        if debug:
            self.restrict(range(min(base.DEBUG_SAMPLES, len(self.label))))
