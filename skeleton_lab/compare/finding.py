"""Which runs are compared: work dirs, patterns of them, and folders of a study."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.errors import UsageError
from skeleton_lab.reporting.run_report import tables
from skeleton_lab.reporting.run_report.work_dir import FILES
from skeleton_lab.utils.atomic import refuse_special

STUDY = "study.json"  # of a sweep: its runs
# States there: a run that a search did not go on with; a folder that is of other settings than the study's
STOPPED, CHANGED = "stopped", "changed"
WAITING = "waiting"
WHY = {
    WAITING: "have left nothing yet", STOPPED: "were stopped by its search, untested",
    CHANGED: "are of other settings, and left out",
}  # fmt: skip
RESULT = "comparison.html"  # an earlier comparison is no run, which need not be said
SEED = re.compile(r"[-_.]?seed[-_=]?\d+$")


@dataclass
class Place:
    """A work dir and what its study says of it.

    Attributes:
        name: its folder's, with folders above where those are alike; in a study the run's.
        study: whether a study names it; then ``seed`` and ``stream`` are the study's, and runs of one ``family`` differ
            by their seed alone; of one ``group`` by seed and stream.
        archive: the study's word for the run's archive, where it has several.
        num_epoch: of the study; a run that was trained for fewer has not finished.
    """

    folder: Path
    name: str = ""
    study: bool = False
    seed: int | None = None
    stream: str = ""
    family: str = ""
    group: str = ""
    archive: str = ""
    num_epoch: int = 0


def find(words: Sequence[Path | str]) -> tuple[list[Place], list[str]]:
    """The work dirs that the words name, in their order, each once; and notices of runs that are not there yet.

    Raises:
        UsageError: a word that names no run; a study's file that cannot be read.
    """
    found: dict[Path, Place] = {}
    notices: list[str] = []
    for word in map(str, words):
        if Path(word).exists():
            places = _of_folder(Path(word), notices)
        else:
            alike = map(Path, sorted(glob.glob(word, recursive=True)))  # noqa: PTH207  (Path's takes no absolute one)
            folders = [path for path in alike if path.is_dir()]
            places = [Place(path) for path in folders if holds_run(path)]
            others = [path.name for path in folders if not holds_run(path) and not (path / RESULT).exists()]
            if places and others:
                notices.append(f"{word}: no run is in {', '.join(others[:5])}{' ...' if len(others) > 5 else ''}.")
            if not places:
                raise UsageError(
                    f"{word}: there is no such folder, and no folder with a run has a name of that pattern"
                )
        for place in places:
            found.setdefault(place.folder.resolve(), place)
    names = tables.names([place.folder for place in found.values()])
    taken = [place.name for place in found.values()]
    for place in found.values():
        if not place.name or taken.count(place.name) > 1:  # two studies may call a run alike
            place.name = names[place.folder]
    return list(found.values()), notices


def some(names: Sequence[str]) -> str:
    """The first five, and how many more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def holds_run(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).is_file() for name in FILES)


def _of_folder(folder: Path, notices: list[str]) -> list[Place]:
    if (folder / STUDY).is_file():
        return _of_study(folder, notices)
    if holds_run(folder):
        return [Place(folder)]
    below = sum(map(holds_run, folder.iterdir())) if folder.is_dir() else 0
    hint = f"; {below} folders in it do: give {folder}/*" if below else f": none of {', '.join(FILES)} is there"
    raise UsageError(f"{folder} holds no run{hint}")


def _of_study(folder: Path, notices: list[str]) -> list[Place]:
    """The runs of a sweep that have begun, are of its settings and went to their end; notices tell of the others."""
    places: list[Place] = []
    left: dict[str, list[str]] = {WAITING: [], STOPPED: [], CHANGED: []}
    for run in _runs(folder / STUDY):
        path = folder / str(run["folder"])
        name = str(run["name"])
        kind = run["state"] if run.get("state") in (STOPPED, CHANGED) else "" if holds_run(path) else WAITING
        if kind:
            left[kind].append(name)
            continue
        seed, epochs = (value if isinstance(value := run.get(key), int) else None for key in ("seed", "num_epoch"))
        stream, group, archive = (str(run.get(key) or "") for key in ("stream", "group", "archive"))
        places.append(Place(path, name, True, seed, stream, SEED.sub("", name), group, archive, epochs or 0))
    for kind, names in left.items():
        if names:
            notices.append(f"{folder}: {len(names)} of the study's runs {WHY[kind]}: {some(names)}.")
    if not places:
        raise UsageError(f"{folder}: none of the {sum(map(len, left.values()))} runs of its {STUDY} can be compared")
    return places


def _runs(path: Path) -> list[dict[str, Any]]:
    refuse_special(path)
    try:
        told = json.loads(path.read_text("utf-8"))
        runs = told["runs"] if isinstance(told, dict) else told
        if not all(isinstance(run["folder"], str) and run["name"] for run in runs):
            raise TypeError
        return list(runs)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} is no list of a study's runs ({type(error).__name__}); name its work dirs") from None
