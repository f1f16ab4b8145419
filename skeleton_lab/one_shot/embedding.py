"""A trained network as a map from clips to features: the vector in front of its classifier."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_lab import registry
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.penultimate import FeaturesAlone
from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser


def flags(parser: Parser) -> None:
    """The flags that say whose features are taken, and of which archive."""
    add = parser.add_argument
    add("room", help="folder or image of the room: CTR-GCN, stgcn ...")
    add("--weights", type=Path, required=True, help="weights file of a training in that room")
    add("--config", type=Path, help="YAML file of the training; default: the config.yaml beside the weights, else the "
        "room's own")  # fmt: skip
    add("--archive", type=Path, required=True, help="any archive that the lab reads, with both splits")
    add("--layout", help="of the archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--device", default="cpu", help="cpu, 0, cuda:0 (default: cpu)")
    add("--trust-code", action="store_true", help=trust.HELP)


def configuration(room: registry.Room, weights: Path, given: Path | None) -> Path:
    """The YAML file of the training: as given, else what its run left beside the weights, else the room's own.

    Raises:
        UsageError: the file is missing, or the room trains no network on clips.
    """
    if room.config is None:
        raise UsageError(f"room {room.folder} trains on features, not on clips; take one of the supervised rooms")
    if given is not None and not given.is_file() and (room.path / given).is_file():
        given = room.path / given
    beside = [folder / "config.yaml" for folder in (weights.parent, weights.parent.parent)]
    found = given or next((path for path in beside if path.is_file()), room.path / room.config)
    if not found.is_file():
        raise UsageError(f"--config {found}: there is no such file")
    return found


@contextmanager
def opened(options: Namespace) -> Iterator[Network]:
    """The network that the flags name, in its room; calling it gives features instead of logits.

    Raises:
        UsageError, WeightsError: what ``Network`` raises.
    """
    room = registry.find(options.room)
    config = configuration(room, options.weights, options.config)
    with registry.room(room.folder), trust.trusting(options.trust_code):
        network = Network(room.recipe, room.path, config.absolute(), options.weights, options.device)
        for notice in network.notices:
            print(notice)
        network.model = FeaturesAlone(network.model)
        yield network


class Embedded(NamedTuple):
    """A split: features (N, F) float32, labels (N,) int64, and the names of the classes where the archive tells."""

    features: np.ndarray
    labels: np.ndarray
    names: Sequence[str] | None


def split_of(network: Network, options: Namespace, split: str) -> Embedded:
    """All clips of a split of ``options.archive``, by a network of ``opened``.

    Raises:
        ArchiveError and its kin: the archive is missing, damaged, or lacks the split.
        UsageError: its joints and the network's do not go together.
    """
    feeder = network.archive_feeder(options.archive, split, None, None, options.layout)
    names = getattr(feeder.clips, "class_names", None)
    return Embedded(features(network, feeder, f"{split} clips"), feeder.label.astype(np.int64), names)


def features(network: Network, feeder: Feeder, title: str) -> np.ndarray:
    """(N, F) float32 of the feeder's clips, by a network of ``opened``.

    Raises:
        UsageError: a feature is not finite.
    """
    made = network.logits(feeder, title)
    if not np.isfinite(made).all():
        raise UsageError(f"--weights {network.weights}: features of {title} are not finite; the weights are damaged")
    return made
