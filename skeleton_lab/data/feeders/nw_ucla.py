"""The NW-UCLA feeder of CTR-GCN and FreqMixFormer: random view, stretching to -1..1, a fixed number of frames."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from skeleton_lab.data.archives import array_clips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers.nw_ucla import JOINTS
from skeleton_lab.data.feeders import augmentation, pipeline
from skeleton_lab.data.feeders.base import Feeder, checked_count
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError
from skeleton_lab.skeletons import bones, layouts

ROOT_VARIABLE = "NW_UCLA_ROOT"
FOLDER = Path("data/NW-UCLA/all_sqe")
PACKED = (".tar.xz", ".tar.gz", ".tar")
NUM_CLASS = 10
MODALITY = re.compile(r"(joint|bone|motion|_|-|\+)*")


class UCLAFeeder(Feeder):
    """Multi-view NW-UCLA (Wang et al. 2014): views 1 and 2 train, view 3 tests.

    Training clips are turned by random whole degrees about x and y. Every coordinate is stretched to -1..1 over the
    clip, and ``frames`` frames are kept: evenly spaced in the test, at random in training.

    Args:
        data_path: a modality word, "joint", "bone", "motion" or "bone_motion" (any text with these words in it), or
            the folder of JSON files or its tar archive; the modality then is ``bone`` and ``vel``.
        label_path: with "val" in it the test clips, else the training clips.
        repeat: how often an epoch goes through the clips.
        debug: only the first 100 samples.
        bone, vel: the stream, in addition to the modality word.
        root: folder or tar archive, or the clips of one. Without it: data_path if that exists, the environment's
            NW_UCLA_ROOT, then data/NW-UCLA/all_sqe and data/NW-UCLA/all_sqe.tar.xz under the working directory and the
            room's folder.
        window_size, random_choose, random_shift, random_move, normalization, use_mmap: no effect, as published.

    Raises:
        FeederArgumentError: unknown or missing argument.
        UsageError: repeat is not a positive number.
        ArchiveError, ArchiveNotFoundError: the recordings are missing or not usable.
    """

    joints = JOINTS
    usual = "ucla20"
    frames = 52  # Hyper-GCN and SkateFormer: 64
    drop = 0.0  # in training, the probability to drop a coordinate, and to drop some joints in some frames
    required = ("data_path", "label_path")
    unused = ("random_choose", "random_shift", "random_move", "normalization", "use_mmap", "window_size")

    def __init__(
        self,
        data_path: str | None = None,
        label_path: str | None = None,
        repeat: int = 1,
        random_choose: bool = False,
        random_shift: bool = False,
        random_move: bool = False,
        window_size: int = -1,
        normalization: bool = False,
        debug: bool = False,
        use_mmap: bool = True,
        bone: bool = False,
        vel: bool = False,
        root: str | Clips | None = None,
        **unknown: Any,
    ) -> None:
        self.accept(locals() | {"window_size": -1 if window_size == self.frames else window_size})
        data_path = str(data_path)
        if not names_archive(data_path):
            bone, vel = bone or "bone" in data_path, vel or "motion" in data_path
        self.start(data_path, label_path, root, repeat, bone, vel, debug)

    def start(
        self, data_path: str, label_path: Any, root: str | Clips | None, repeat: int, bone: bool, vel: bool, debug: bool
    ) -> None:
        """Find the recordings and set the feeder up; arguments as above, the stream is ``bone`` and ``vel``."""
        self.repeat = checked_count("repeat", repeat)
        train = "val" not in str(label_path)
        clips = array_clips.given(root)
        if clips is None:
            clips = open_archive(find_recordings(data_path, root, self.room_dir), "train" if train else "test")
        fitting = clips.layout in ("nw-ucla", array_clips.LAYOUT)
        if not fitting or (clips.V, clips.C) != (JOINTS, 3):
            what = f"{clips.V} joints of {clips.C} coordinates" if fitting else f"an archive of layout {clips.layout}"
            raise ArchiveError(f"{clips.path} does not hold NW-UCLA recordings but {what}")
        self.know(clips, None, layouts.layout(self.usual))
        Feeder.__init__(self, clips, self.recipe(train, bone, vel), range(len(clips)), debug)
        self.num_class = NUM_CLASS

    def recipe(self, train: bool, bone: bool, vel: bool) -> list[pipeline.Step]:
        """The published centring on joint 1 and random scale are left out: stretching to -1..1 undoes both."""
        recipe: list[pipeline.Step] = [pipeline.measure, pipeline.read_whole]
        if train:
            recipe.append(pipeline.RandomView())
        recipe += [pipeline.spread_to_unit, pipeline.PickFrames(self.frames, random=train)]
        if train and self.drop:
            recipe += [augmentation.DropAxis(self.drop), augmentation.DropJoints(self.drop)]
        if bone:
            recipe.append(pipeline.Bone(bones.UCLA))
        if vel:
            recipe.append(pipeline.motion)
        return recipe


def names_archive(data_path: str) -> bool:
    """Whether data_path is an existing folder or file and not a modality word (a folder may be called "bone")."""
    return not MODALITY.fullmatch(data_path) and Path(data_path).exists()


def find_recordings(data_path: str, root: str | Path | Clips | None = None, room_dir: Path | None = None) -> Path:
    """The folder of JSON files or the tar archive, see ``UCLAFeeder``.

    Raises:
        ArchiveNotFoundError: none of the places exists; the message lists them.
    """
    if root is not None:
        places = _inside(Path(str(root)))
    elif names_archive(data_path):
        places = _inside(Path(data_path))
    else:
        variable = os.environ.get(ROOT_VARIABLE)
        places = _with_packed(Path(data_path)) if "/" in data_path else []
        places += _inside(Path(variable)) if variable else []
        places += _with_packed(FOLDER) + (_with_packed(room_dir / FOLDER) if room_dir else [])
    for place in places:
        if place.is_file() or (place.is_dir() and any(place.glob("a*_s*_e*_v*.json"))):
            logging.getLogger("skeleton_lab").info(f"NW-UCLA recordings: {place}")
            return place
    raise ArchiveNotFoundError(
        f"no NW-UCLA recordings in {', '.join(str(place) for place in places)}: unpack or mount all_sqe there, "
        f"or set {ROOT_VARIABLE}"
    )


def _with_packed(folder: Path) -> list[Path]:
    return [folder, *(folder.with_name(folder.name + suffix) for suffix in PACKED)]


def _inside(root: Path) -> list[Path]:
    return [root, *_with_packed(root / FOLDER.name)]
