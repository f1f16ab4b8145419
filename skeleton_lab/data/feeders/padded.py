"""Feeders that hand over whole padded clips, as MS-G3D and ST-GCN read them: shifted, cut or padded, and moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import array_clips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.locate import locate
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.feeders import pipeline, transforms
from skeleton_lab.data.feeders import skeleton as skeletons
from skeleton_lab.data.feeders.base import Feeder, checked_most
from skeleton_lab.data.feeders.pipeline import Step, Work
from skeleton_lab.data.feeders.skeleton import Given
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.progress import clip_bar
from skeleton_lab.utils.tensors import Tensor, torch

SPLIT_WORDS = {"train": "train", "val": "test", "test": "test"}  # in names of arrays
CROPS = ("random", "middle")
CHUNK = 64  # clips read at once where all are read
ANGLES, SCALES, SHIFTS = (-10.0, -5.0, 0.0, 5.0, 10.0), (0.9, 1.0, 1.1), (-0.2, -0.1, 0.0, 0.1, 0.2)


@dataclass
class ReadClip:
    """Read every frame of a clip, padding included, in the order that shift, crop and padding put them.

    Args:
        window: frames of the output where it is positive: a shorter clip is padded with zeros behind it; a longer one
            is left as it is, unless ``choose`` or ``crop`` say otherwise.
        shift: put the piece between the first and the last frame that is not empty anywhere in the clip.
        choose: a random window of the clip, or the clip at a random place of a longer window.
        crop: of a longer clip a piece of what is recorded: "middle", or "random", another one in every epoch.
        mean, std: (V, C), subtracted and divided by, also in recorded padding.
    """

    window: int = -1
    shift: bool = False
    choose: bool = False
    crop: str = ""
    mean: np.ndarray | None = None
    std: np.ndarray | None = None

    def __call__(self, work: Work) -> None:
        frames = np.broadcast_to(np.arange(work.clips.T), (len(work.sample), work.clips.T))
        if self.shift and self.mean is None:  # with a mean subtracted no frame is empty, nothing can be shifted
            frames = self.shifted(work)
        if self.choose:
            frames = self.chosen(work, frames)
        elif self.window > frames.shape[1]:
            frames = padded(frames, self.window, np.zeros(len(frames), np.int64))
        elif self.crop and 0 < self.window < frames.shape[1]:
            frames = self.cropped(work, frames)
        work.frames = np.where(frames < work.clips.T, frames, -1).astype(np.float64)
        work.x = transforms.frames_last(work.clips.gather(work.sample, frames))
        if self.mean is not None and self.std is not None:
            mean, std = (torch.from_numpy(t.astype(np.float32))[..., None] for t in (self.mean, self.std))
            read = torch.from_numpy((frames >= 0) & (frames < work.clips.T))[:, None, None, None]
            work.x = ((work.x - mean) / std) * read

    def shifted(self, work: Work) -> np.ndarray:
        """Which frame comes at each place, (B, T), -1 for none; an empty clip is left as it is."""
        T = work.clips.T
        _, stored = work.clips.lengths(work.sample)
        first = first_recorded(work, stored)
        size = np.where(stored > 0, stored - first, T)
        moved = np.arange(T) - work.draws.integers("shift", 0, T - size + 1)
        return np.where((moved >= 0) & (moved < size[:, None]), moved + first[:, None], -1)

    def cropped(self, work: Work, frames: np.ndarray) -> np.ndarray:
        _, stored = work.clips.lengths(work.sample)
        last = ((frames >= 0) & (frames < stored[:, None]))[:, ::-1].argmax(1)
        spare = np.maximum(np.where(stored > 0, frames.shape[1] - last, 0) - self.window, 0)
        begin = spare // 2 if self.crop == "middle" else work.draws.integers("crop", 0, spare + 1)[:, 0]
        return windows(frames, self.window, begin)

    def chosen(self, work: Work, frames: np.ndarray) -> np.ndarray:
        T = frames.shape[1]
        begin = work.draws.integers("choose", 0, abs(T - self.window) + 1)[:, 0]
        return padded(frames, self.window, begin) if self.window > T else windows(frames, self.window, begin)


def first_recorded(work: Work, stored: np.ndarray) -> np.ndarray:
    """(B,) the first frame of each clip that is not empty: nearly always 0, so only the others are read."""
    first = np.zeros(len(stored), np.int64)
    there = work.clips.gather(work.sample, first[:, None]).reshape(len(first), -1).any(axis=1)
    rows = np.flatnonzero(~there & (stored > 0))
    if len(rows):
        frames = np.broadcast_to(np.arange(stored[rows].max()), (len(rows), stored[rows].max()))
        x = work.clips.gather(work.sample[rows], frames)
        first[rows] = (x != 0).reshape(*frames.shape, -1).any(axis=2).argmax(axis=1)
    return first


def windows(frames: np.ndarray, size: int, begin: np.ndarray) -> np.ndarray:
    """Columns begin..begin+size-1 of frames (B, T): (B, size)."""
    return np.take_along_axis(frames, begin[:, None] + np.arange(size), 1)


def padded(frames: np.ndarray, size: int, begin: np.ndarray) -> np.ndarray:
    """frames (B, T) at columns begin..begin+T-1 of (B, size), -1 elsewhere: no frame, zeros."""
    place = np.arange(size) - begin[:, None]
    inside = (place >= 0) & (place < frames.shape[1])
    return np.where(inside, np.take_along_axis(frames, np.clip(place, 0, frames.shape[1] - 1), 1), -1)


def random_move(work: Work) -> None:
    """A slowly changing turn, scale and shift in the plane of x and y, from one random state to another."""
    pick = {
        name: np.asarray(values)[work.draws.integers(f"move {name}", 0, len(values), 2)]
        for name, values in (("angle", ANGLES), ("scale", SCALES), ("x", SHIFTS), ("y", SHIFTS))
    }
    work.x = moved(work.x, *pick.values())


def moved(x: Tensor, angle: np.ndarray, scale: np.ndarray, shift_x: np.ndarray, shift_y: np.ndarray) -> Tensor:
    """x (B, M, V, C, T) turned by ``angle`` degrees, scaled, shifted; each (B, 2): in the first and the last frame."""
    share = np.linspace(0, 1, x.shape[-1])

    def course(ends: np.ndarray) -> Tensor:
        return torch.from_numpy(ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * share).to(x.dtype)[:, None, None]

    turn = np.deg2rad(angle[:, :1] + (angle[:, 1:] - angle[:, :1]) * share)
    scales = scale[:, :1] + (scale[:, 1:] - scale[:, :1]) * share
    cos, sin = (torch.from_numpy(f(turn) * scales).to(x.dtype)[:, None, None] for f in (np.cos, np.sin))
    y = x.clone()
    y[..., 0, :] = cos * x[..., 0, :] - sin * x[..., 1, :] + course(shift_x)
    y[..., 1, :] = sin * x[..., 0, :] + cos * x[..., 1, :] + course(shift_y)
    return y


def mean_map(clips: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (V, C) over all samples, frames (padding included) and persons, in one pass."""
    total, square = np.zeros((clips.V, clips.C)), np.zeros((clips.V, clips.C))
    with clip_bar(len(clips), "mean of the clips", show=len(clips) > 1000) as bar:
        for first in range(0, len(clips), CHUNK):
            idx = np.arange(first, min(first + CHUNK, len(clips)))
            x = clips.gather(idx, np.broadcast_to(np.arange(clips.T), (len(idx), clips.T))).astype(np.float64)
            total += x.sum((0, 1, 2))
            square += (x * x).sum((0, 1, 2))
            bar.update(len(idx))
    count = len(clips) * clips.T * clips.M
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 0))
    return mean, np.where(std > 0, std, 1)


def streams(bone: bool, vel: bool, skeleton: Layout | None, normalization: bool = False) -> list[Step]:
    """The steps from joints to bones, and to the differences of consecutive frames.

    Raises:
        UsageError: nothing tells the skeleton; the mean to be subtracted is that of the joints.
    """
    if (bone or vel) and normalization:
        raise UsageError("feeder arguments bone and vel do not go with normalization, whose mean is of the joints")
    if bone and skeleton is None:
        raise UsageError("feeder argument bone: the archive does not say its skeleton; name it with --skeleton")
    first = [pipeline.Bone(skeleton.parent)] if bone and skeleton is not None else []
    return [*first, *([pipeline.motion] if vel else [])]


def checked_crop(value: Any) -> str:
    """``crop``: None, "random" or "middle"."""
    if value not in (None, "", *CROPS):
        raise UsageError(f"feeder argument crop must be {' or '.join(CROPS)}, got {value!r}")
    return value or ""


def checked_window(value: Any, random_choose: bool) -> int:
    """``window_size``: a whole number, positive where a random window is chosen."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"feeder argument window_size must be a whole number, got {value!r}")
    if random_choose and value < 1:
        raise UsageError(f"feeder argument random_choose needs a window_size of at least 1 frame, got {value}")
    return checked_most("window_size", int(value))


class WholeClipFeeder(Feeder):
    """What the feeders of MS-G3D and ST-GCN share: whole clips, optionally normalised, and their random motion."""

    usual = "ntu25"

    def as_published(self, clips: Clips, given: Given, found: Layout) -> bool:
        """NTU's, those of Kinetics-skeleton, which come centred, and arrays that say nothing, whatever they are."""
        kinetics = found.name == "coco18" and clips.layout in ("kinetics", "npy")
        return kinetics or not skeletons.says(clips, given) or super().as_published(clips, given, found)

    def __init__(
        self,
        clips: Any,
        read: ReadClip,
        more: Sequence[Step] = (),
        sample_name: Sequence[str] | None = None,
        debug: bool = False,
        normalization: bool = False,
    ) -> None:
        names = sample_name or clips.names or range(len(clips))
        super().__init__(clips, [read, *more], names, debug)
        if normalization:
            read.mean, read.std = mean_map(self.seen(self.clips))


def open_whole(
    data_path: str | Path | Clips | None,
    split: str | None,
    label_path: str | None,
    room_dir: Path | None,
    layout: str | None = None,
    skeleton: Given = None,
) -> tuple[Clips, str]:
    """The clips, and the split that they are: as said, or told by the name of an array that holds only one.

    Clips that are open already stay as they are.

    Raises:
        UsageError: an archive holds both splits, and nothing says which is meant; what ``open_archive`` raises.
    """
    clips = array_clips.given(data_path, layout)
    if clips is not None:
        return clips, split or "train"
    name = Path(str(data_path)).name
    told = split or next((split for word, split in SPLIT_WORDS.items() if word in name), None)
    path = locate(str(data_path), room_dir)
    joints = None if skeleton is None else layouts.layout(skeleton).V
    clips = open_archive(path, told or "train", label_path=label_path, layout=layout, joints=joints)
    if told is None and clips.layout != "npy":
        raise UsageError(f"feeder argument split: {path} holds both splits, say split='train' or split='test'")
    return clips, told or "train"
