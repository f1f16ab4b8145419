"""A trained network by its room's name, for programs that take ``ROOM --weights W``: configuration found, room open."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skeleton_lab import registry
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.network import Network
from skeleton_lab.utils import trust


def configuration(room: registry.Room, weights: Path, given: Path | None) -> Path:
    """The YAML file of the training: as given, else what its run left beside the weights, else the room's own.

    Raises:
        UsageError: the file is missing or another room's, or the room trains no network on clips.
    """
    if room.config is None:
        raise UsageError(f"room {room.folder} trains on features, not on clips; take one of the supervised rooms")
    if given is not None and not given.is_file() and (room.path / given).is_file():
        given = room.path / given
    found = given or registry.config_beside(weights) or room.path / room.config
    if not found.is_file():
        raise UsageError(f"--config {found}: there is no such file")
    _check_room(room, found)
    return found


def _check_room(room: registry.Room, config: Path) -> None:
    """UsageError where a configuration, as that beside weights, names a network that other rooms have and this has not.

    ``model`` is the name of a package in all of them, so an import would only say what it lacks.
    """
    network = str(yaml_file.read(config).get("model"))
    module = Path(*network.split(".")[:-1]).with_suffix(".py") if "." in network else None
    if module is None or (room.path / module).is_file():
        return
    homes = [each.folder for each in registry.ROOMS if (each.path / module).is_file()]
    if homes:
        raise UsageError(f"--config {config}: its network {network} is in {' and '.join(homes)}, not in {room.folder}")


@contextmanager
def opened(options: Namespace, say: Callable[[str], None] = print) -> Iterator[Network]:
    """The network that the flags ``room``, ``weights``, ``config``, ``device`` and ``trust_code`` name, in its room.

    Args:
        say: takes what the user should know.

    Raises:
        UsageError, WeightsError: what ``Network`` raises.
    """
    room = registry.find(options.room)
    config = configuration(room, options.weights, options.config)
    with registry.room(room.folder), trust.trusting(options.trust_code):
        network = Network(room.recipe, room.path, config.absolute(), options.weights, options.device)
        for notice in network.notices:
            say(notice)
        yield network
