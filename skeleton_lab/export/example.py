"""Clips that a file is traced on and compared by, as the network takes them: real ones where there are some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders.base import Batch, Feeder
from skeleton_lab.data.feeders.transforms import people
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import any_skeleton
from skeleton_lab.inference.feeding import Fed
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.onnx_about import CLIPS, KEYPOINTS

SEVERAL = 6  # axes of a network's input where a sample is several clips
LENGTH = 64  # frames of made-up clips, where the configuration does not say


def feeder_of(network: Network, archive: Path | None, count: int) -> tuple[Feeder, str]:
    """The test feeder on ``count`` clips at most, spread over the archive's, and what they are, in words.

    Args:
        archive: whose test clips are taken; None: the configuration's, where it is here, else made-up ones.

    Raises:
        ArchiveError and its kin: the archive is missing, damaged, or of other joints than the network's.
    """
    if archive is not None:
        return _some(archive_feeder(network, archive), count), f"test clips of {archive}"
    clips = network.trained_on
    if clips is not None and len(clips):
        return _some(network.archive_feeder(clips, None, None, None), count), f"test clips of {clips.path}"
    return network.archive_feeder(made_up(network, count), None, None, None), "made-up clips"


def archive_feeder(network: Fed, archive: Path, split: str = "test") -> Feeder:
    """The test feeder on the clips of an archive's ``split``.

    Raises:
        ArchiveError and its kin: the archive is missing or damaged, or has no such clips.
        UsageError: they are of other joints than the network's.
    """
    feeder = network.archive_feeder(archive, split, None, None)
    if network.skeleton is not None:
        any_skeleton.check_archive(feeder.clips, network.skeleton, network.channels, str(archive))
    elif network.joints != feeder.clips.V:
        raise UsageError(f"{archive} has {feeder.clips.V} joints, and the network takes {network.joints}")
    return feeder


def _some(feeder: Feeder, count: int) -> Feeder:
    rows = np.linspace(0, len(feeder.label) - 1, min(count, len(feeder.label))).round().astype(int)
    feeder.restrict(np.unique(rows))
    return feeder


def made_up(network: Network, count: int) -> Clips:
    """Clips of people whose joints swing, the same in every run: of every skeleton there is a network for."""
    random = np.random.default_rng(0)
    T, M, V, D = network.window or LENGTH, network.persons, network.joints, network.channels - network.scored
    t = np.linspace(0, 2 * np.pi, T)[:, None, None, None]
    clips = []
    for _ in range(count):
        place, reach, phase = random.normal(size=(3, M, V, D))
        x = place + 0.3 * reach * np.sin(random.integers(1, 4) * t + phase)
        clips.append(np.concatenate([x, np.ones((T, M, V, 1))], 3)[..., : network.channels].astype(np.float32))
    stored = network.as_stored(clips)
    if network.skeleton is not None:
        stored.skeleton, stored.units, stored.scored = network.skeleton, network.skeleton.units, network.scored
    return stored


def inputs(feeder: Feeder, count: int) -> dict[str, Tensor]:
    """What the network is called with for ``count`` clips, by name: ``clips``, and ``index_t`` where it takes that.

    Where there are fewer, they come again. Of samples of several clips the first clips are taken.
    """
    rows = Batch(np.arange(count) % len(feeder))
    made = [torch.as_tensor(x) for x in feeder.inputs(feeder.work(rows))]
    if made[0].dim() == SEVERAL:
        made = [x[:, 0] for x in made]
    return dict(zip((CLIPS, "index_t"), (x.float().contiguous() for x in made)))


def keypoints(feeder: Feeder, count: int) -> dict[str, Tensor]:
    """The same clips as key points (N, T, M, V, C) as they are stored, by name, but without missing joints, which the
    caller of a file fills in; behind a shorter one zeros."""
    rows = np.arange(count) % len(feeder)
    _, ends = feeder.clips.lengths(rows)
    whole = np.broadcast_to(np.arange(max(int(ends.max()), 1)), (count, max(int(ends.max()), 1)))
    x = torch.from_numpy(feeder.filled.gather(rows, whole)).transpose(1, 2)
    return {KEYPOINTS: people(x, feeder.num_person or x.shape[1]).transpose(1, 2).contiguous()}


def frames_axes(feeder: Feeder, given: dict[str, Tensor]) -> Sequence[int]:
    """Of each input the axis of its frames."""
    if KEYPOINTS in given:
        return (1,)
    return (feeder.axes.index("T") + 1, 1)[: len(given)]
