"""A trained network as a map from clips to features: the vector in front of its classifier."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import any_skeleton, opening
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.penultimate import FeaturesAlone
from skeleton_lab.inference.windows import ALL, Row, Stored, cuts, scheme_for
from skeleton_lab.skeletons import joint_maps
from skeleton_lab.skeletons.schemes import SCHEMES


@contextmanager
def opened(options: Namespace) -> Iterator[Network]:
    """The network that the flags name, in its room; calling it gives features instead of logits.

    Raises:
        UsageError, WeightsError: what ``Network`` raises.
    """
    with opening.opened(options) as network:
        network.model = FeaturesAlone(network.model)
        yield network


class Embedded(NamedTuple):
    """A split: features (N, F) float32, labels (N,) int64, and the names of the classes where the archive tells."""

    features: np.ndarray
    labels: np.ndarray
    names: Sequence[str] | None


def split_of(network: Network, options: Namespace, split: str) -> Embedded:
    """All clips of a split of ``options.archive``, by a network of ``opened``.

    Clips of another skeleton are mapped to that of a network of NTU RGB+D or NW-UCLA, as ``predict.py`` does it.

    Raises:
        ArchiveError and its kin: the archive is missing, damaged, or lacks the split.
        UsageError: its joints and the network's do not go together.
    """
    parts = both_splits.open_source(options.archive, split=split, layout=options.layout)
    clips, where = parts[split], str(options.archive)
    if network.skeleton is not None:
        any_skeleton.check_archive(clips, network.skeleton, network.channels, where)
    elif _other(network, clips):
        return Embedded(_mapped(network, clips, where, split), clips.labels, clips.class_names)
    feeder = network.archive_feeder(options.archive, split, None, None, options.layout)
    return Embedded(features(network, feeder, f"{split} clips"), feeder.label.astype(np.int64), clips.class_names)


def _other(network: Network, clips: Clips) -> bool:
    """Whether clips are not bodies in space as networks of NTU RGB+D and NW-UCLA take them."""
    target = next((name for name in joint_maps.TARGETS if network.joints == SCHEMES[name].V), None)
    said = None if clips.skeleton is None else clips.skeleton.name
    return target is not None and (network.joints != clips.V or said not in (None, target) or clips.scored)


def _mapped(network: Network, clips: Clips, where: str, split: str) -> np.ndarray:
    """Features of key points, as bodies of the network's joints."""
    notices, name = Notices(), None if clips.skeleton is None else clips.skeleton.name
    if name is not None and name not in joint_maps.TO_NTU:
        raise UsageError(f"{where} is of the skeleton {name}, from which no map leads to the network's joints")
    source, target = normalise.scheme_of(name, clips.V, where), scheme_for(network.joints, where)
    names = clips.names or [f"{split}_{k}" for k in range(len(clips))]
    recordings = Stored(clips, names, source, target, notices=notices)
    rows = [Row(k, 0, len(recordings.points(k)), ALL) for k in range(len(clips))]
    made = network.clips_logits(cuts(recordings, rows), len(rows), f"{split} clips")
    print(f"{split} clips: joints of {source.name} are mapped to those of {target.name}")
    for line in notices.lines():
        print(line)
    return _finite(made, network, split)


def features(network: Network, feeder: Feeder, title: str) -> np.ndarray:
    """(N, F) float32 of the feeder's clips, by a network of ``opened``.

    Raises:
        UsageError: a feature is not finite.
    """
    return _finite(network.logits(feeder, title), network, title)


def _finite(made: np.ndarray, network: Network, title: str) -> np.ndarray:
    if not np.isfinite(made).all():
        raise UsageError(f"--weights {network.weights}: features of {title} are not finite; the weights are damaged")
    return made
