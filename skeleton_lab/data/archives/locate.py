"""Where a data file is, when it is not where a published configuration says."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveNotFoundError, UsageError, listing

log = logging.getLogger("skeleton_lab")

MOVABLE = ("NTU60_CS.npz", "NTU60_CV.npz")  # the files that documents mount at various places
MOUNT = Path("/workspace/data/NTU60")
# Where the documents mount or put the file that a script reads when it is told nothing, newest document first.
DEFAULTS = (f"{MOUNT}/NTU60_CS.npz", "/workspace/CTR-GCN/data/ntu/NTU60_CS.npz", "data/ntu/NTU60_CS.npz")

ARCHIVES = (".npz", ".h5", ".hdf5", ".npy", ".pkl", ".pickle", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tgz")
SHOWN = 12  # archives of a folder that an error lists


def locate(data_path: str | Path, room_dir: str | Path | None = None) -> Path:
    """``data_path`` if it exists, or the one archive in it where it is a folder; else the place where the file is.

    A relative path is looked for in the working directory, then in ``room_dir``, the program's folder. The NTU 60
    files are also looked for in the program's ``data/ntu/`` and ``data/``, in /workspace/data/NTU60 with its
    ``kaggle_raw/`` and ``ctrgcn/``, and in $NTU60_ROOT with its ``kaggle_raw/``. The path taken is logged.

    Raises:
        ArchiveNotFoundError: it is nowhere; the message lists the places. UsageError: a folder of several archives.
    """
    wanted = Path(data_path)
    if wanted.exists():
        return held(wanted)
    room = Path(room_dir) if room_dir is not None else Path()
    places = [] if wanted.is_absolute() else [room / wanted]
    if wanted.name in MOVABLE:
        places += [folder / wanted.name for folder in _folders(room)]
    for place in places:
        if place.exists():
            log.info("data: %s does not exist, taking %s", wanted, place)
            return held(place)
    tried = dict.fromkeys(str(place.absolute()) for place in [wanted, *places])
    more = f" (its folder at {MOUNT}), or set NTU60_ROOT to its folder" if wanted.name in MOVABLE else ""
    raise ArchiveNotFoundError(
        f"data file {data_path} does not exist; looked for {', '.join(tried)}. Give data_path, or mount the file{more}"
    )


def held(path: Path) -> Path:
    """The archive that a folder holds; anything else, also a folder that is an archive itself or holds none, as it is.

    Raises:
        UsageError: it holds several; the message lists them.
    """
    if not path.is_dir():
        return path
    with parsing(path):
        names = sorted(entry.name for entry in path.iterdir())
    if any(name.endswith((".json", ".skeleton")) or "_data" in name or name.startswith("kinetics_") for name in names):
        return path  # clips, one by one, or arrays of both splits
    found = [name for name in names if name.lower().endswith(ARCHIVES) and "_label." not in name]
    if not found:
        return path
    if len(found) > 1:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UsageError(f"{path} is a folder of several archives, name one of them: {listing(found[:SHOWN])}{more}")
    log.warning("%s is a folder, taking the archive in it: %s", path, path / found[0])
    return path / found[0]


def default_archive(places: Sequence[str] = DEFAULTS) -> Path:
    """The first of ``places`` that exists, else where ``locate`` finds a file of that name.

    Raises:
        ArchiveNotFoundError: it is nowhere; the message lists ``places``.
    """
    for place in places:
        if Path(place).exists():
            return Path(place)
    try:
        return locate(DEFAULTS[0])
    except ArchiveNotFoundError:
        raise ArchiveNotFoundError(
            f"no archive given, and none at {', '.join(places)}: name one, or set NTU60_ROOT to its folder"
        ) from None


def _folders(room: Path) -> list[Path]:
    folders = [room / "data" / "ntu", room / "data", MOUNT, MOUNT / "kaggle_raw", MOUNT / "ctrgcn"]
    root = os.environ.get("NTU60_ROOT")
    if root:
        folders += [Path(root), Path(root) / "kaggle_raw"]
    return folders
