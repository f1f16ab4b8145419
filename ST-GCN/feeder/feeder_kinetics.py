"""Kinetics-skeleton clips for ST-GCN, straight from the folder of OpenPose JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from feeder.openpose_match import KeepBest, KeepFirst, match_poses
from skeleton_lab.data.archives import array_clips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.locate import locate
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers.kinetics import PERSONS
from skeleton_lab.data.feeders import padded
from skeleton_lab.data.feeders.base import checked_count
from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.skeletons import layouts

DEBUG_FILES = 2


class Feeder_kinetics(padded.WholeClipFeeder):
    """``feeder.feeder_kinetics.Feeder_kinetics``: items (data (3, T, 18, num_person_out), label).

    Args:
        data_path: folder of JSON files, or the clips of one; label_path: the JSON file of their labels.
        ignore_empty_sample: leave out the clips that the label file calls empty.
        random_choose, random_move, window_size, crop: as in ``feeder.Feeder``.
        random_shift: put what is recorded anywhere in the 300 frames.
        pose_matching: make a person keep its slot from frame to frame.
        num_person_in: skeletons of a frame that are read, up to 5; num_person_out: of these, the ones with the best
            scores are kept.
        debug: only the first 2 files.

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: numbers that cannot work.
        ArchiveError, ArchiveNotFoundError: the folder is missing or not usable.
    """

    room_dir = Path(__file__).resolve().parents[1]
    joints = 18
    usual = "coco18"
    required = ("data_path", "label_path")

    def __init__(
        self,
        data_path: str | Clips | None = None,
        label_path: str | None = None,
        ignore_empty_sample: bool = True,
        random_choose: bool = False,
        random_shift: bool = False,
        random_move: bool = False,
        window_size: int = -1,
        pose_matching: bool = False,
        num_person_in: int = PERSONS,
        num_person_out: int = 2,
        debug: bool = False,
        crop: str | None = None,
        **unknown: Any,
    ) -> None:
        self.accept(locals())
        window = padded.checked_window(window_size, random_choose)
        if checked_count("num_person_in", num_person_in) > PERSONS:
            raise UsageError(f"feeder argument num_person_in is at most {PERSONS}, got {num_person_in}")
        more = [KeepFirst(num_person_in)]
        if random_move:
            more.append(padded.random_move)
        more.append(KeepBest(checked_count("num_person_out", num_person_out)))
        if pose_matching:
            more.append(match_poses)
        clips = array_clips.given(data_path)
        if clips is None:
            clips = open_archive(locate(data_path, self.room_dir), "test", label_path=label_path)
        if clips.layout not in ("kinetics", array_clips.LAYOUT):
            raise ArchiveError(f"{clips.path} is no folder of Kinetics clips; feeder.feeder.Feeder reads arrays")
        self.know(clips, None, layouts.layout(self.usual))
        names = [f"{name}.json" for name in clips.names or range(len(clips))]
        super().__init__(
            clips, padded.ReadClip(window, random_shift, random_choose, padded.checked_crop(crop)), more, names
        )
        told = ignore_empty_sample and clips.has_skeleton is not None
        kept = np.flatnonzero(clips.has_skeleton) if told else np.arange(len(clips))
        self.restrict(kept[:DEBUG_FILES] if debug else kept)

    def as_published(self, *_: Any) -> bool:
        return True

    def take_people(self, count: int) -> None:
        """Of all that are read, so many with the best scores."""
        for step in self.steps:
            if isinstance(step, KeepBest):
                step.count = min(count, PERSONS)
        self.num_person = count

    def __getitem__(self, index: int) -> tuple:
        return super().__getitem__(index)[:2]

    def top_k_by_category(self, score: np.ndarray, k: int) -> list[float]:
        """``top_k`` of every class, 0 for a class without samples; score (N, K)."""
        best = np.argsort(score, axis=1)[:, -k:]
        hit = (best == self.label[:, None]).any(axis=1)
        count = np.bincount(self.label, minlength=score.shape[1])
        return (np.bincount(self.label, weights=hit, minlength=score.shape[1]) / np.maximum(count, 1)).tolist()

    def calculate_recall_precision(self, score: np.ndarray) -> tuple[list[float], list[float]]:
        """Precision and recall of every class, in this order, by the largest score; 0 where there is nothing."""
        classes = score.shape[1]
        confusion = np.zeros((classes, classes))
        np.add.at(confusion, (self.label, score.argmax(axis=1)), 1)
        right = confusion.diagonal()
        precision, recall = (right / np.maximum(confusion.sum(axis), 1) for axis in (0, 1))
        return precision.tolist(), recall.tolist()
