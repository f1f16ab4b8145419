"""NW-UCLA for SkateFormer: random view, -1..1, 64 frames with their times; joints by partition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feeders import augment
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders import nw_ucla, pipeline
from skeleton_lab.data.feeders.base import checked_share
from skeleton_lab.skeletons import bones


class Feeder(augment.TimedFeeder, nw_ucla.UCLAFeeder):
    """``feeders.feeder_ucla.Feeder`` of the published configurations; items are (data, index_t, label, index).

    Args:
        data_path: folder of JSON files or its tar archive, if it exists; else they are looked for (``UCLAFeeder``).
        label_path: with "val" in it the test clips, else the training clips.
        data_type: with "b" in it bones, with "m" motion.
        repeat: how often an epoch goes through the clips.
        p: probability, in training, to drop a coordinate, and to drop some joints in some frames.
        debug: only the first 100 samples.
        partition: joints in the order of the network's partitions.
        root: folder or tar archive, or the clips of one, before all other places.
        window_size: no effect, as published: 64 frames.

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: repeat or p cannot work.
        ArchiveError, ArchiveNotFoundError: the recordings are missing or not usable.
    """

    room_dir = Path(__file__).resolve().parents[1]
    frames = 64
    unused = ("window_size",)

    def __init__(
        self,
        data_path: str | None = None,
        label_path: str | None = None,
        data_type: str = "j",
        repeat: int = 1,
        p: float = 0.5,
        window_size: int = -1,
        debug: bool = False,
        partition: bool = False,
        root: str | Clips | None = None,
        **unknown: Any,
    ) -> None:
        self.accept(locals() | {"window_size": -1 if window_size == self.frames else window_size})
        self.drop = checked_share("p", p)
        self.order = bones.UCLA_PARTS if partition else None
        place = str(data_path) if nw_ucla.names_archive(str(data_path)) else "joint"
        self.start(place, label_path, root, repeat, "b" in data_type, "m" in data_type, debug)
        if partition:
            self.edges = bones.ordered_edges(bones.UCLA, bones.UCLA_PARTS)

    def recipe(self, train: bool, bone: bool, vel: bool) -> list[pipeline.Step]:
        order = [pipeline.Joints(self.order)] if self.order is not None else []
        return super().recipe(train, bone, vel) + order
