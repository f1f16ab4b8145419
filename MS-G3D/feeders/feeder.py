"""Whole clips for MS-G3D from a .npy array and a pickle of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders import padded
from skeleton_lab.data.feeders import skeleton as skeletons
from skeleton_lab.data.feeders.skeleton import Given


class Feeder(padded.WholeClipFeeder):
    """``feeders.feeder.Feeder``: clips are normalised, shifted, cut or padded, and moved, in this order.

    Args:
        data_path: array (N, C, T, V, M), or any other archive (docs/data.md), or the clips of one.
        label_path: pickle of (names, labels) of a .npy array.
        random_choose: cut ``window_size`` frames out of the padded clip, anywhere.
        random_shift: put what is recorded anywhere in the padded clip.
        random_move: turn, scale and shift by random amounts that change over the clip.
        window_size: frames; -1 for every clip as stored. Shorter clips are padded. Of longer ones the test takes the
            middle of what is recorded; training leaves them as they are without ``random_choose``, as published.
        normalization: subtract the mean of the archive, divide by its standard deviation, per joint and coordinate.
        debug: only the first 100 samples.
        use_mmap: no effect, files are always mapped.
        split: "train" or "test" of an archive that holds both; the name of a .npy array tells.
        num_person: persons in every item; None: as stored.
        crop: of clips longer than window_size read "random" or "middle" frames of what is recorded; None: as published.
            A window that a flag of the program names sets it.
        bone, vel: bones instead of joints, differences of consecutive frames: streams of archives of joints.
        layout: archive layout, where the file's content does not tell (docs/data.md).
        skeleton: of the clips, by name or as a YAML file, where the archive does not say it. Clips of other skeletons
            than NTU's are placed about the body (docs/data.md), except a Kinetics folder's.

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: random_choose without window_size.
        ArchiveError, ArchiveNotFoundError, ArchiveKeyError: the archive is missing or not usable.
    """

    room_dir = Path(__file__).resolve().parents[1]
    unused = ("use_mmap",)

    def __init__(
        self,
        data_path: str | Clips | None = None,
        label_path: str | None = None,
        random_choose: bool = False,
        random_shift: bool = False,
        random_move: bool = False,
        window_size: int = -1,
        normalization: bool = False,
        debug: bool = False,
        use_mmap: bool = True,
        split: str | None = None,
        num_person: int | None = None,
        layout: str | None = None,
        crop: str | None = None,
        bone: bool = False,
        vel: bool = False,
        skeleton: Given = None,
        **unknown: Any,
    ) -> None:
        self.accept(locals())
        window = padded.checked_window(window_size, random_choose)
        clips, split = padded.open_whole(data_path, split, label_path, self.room_dir, layout, skeleton)
        clips = self.know(clips, skeleton, skeletons.told(clips, skeleton))
        crop = padded.checked_crop(crop) or ("middle" if split == "test" else "")
        read = padded.ReadClip(window, random_shift, random_choose, crop)
        names = clips.names or [f"{split}_{i:06d}" for i in range(len(clips))]
        more = padded.streams(bone, vel, self.skeleton, normalization) + ([padded.random_move] if random_move else [])
        super().__init__(clips, read, more, names, debug, normalization)
