"""NW-UCLA: 1,484 Kinect recordings as JSON, in a folder or in the tar archive of it.

Views 1 and 2 train, view 3 tests (Wang et al. 2014). The published lists are exactly these files, in an arbitrary
order that matters where scores are matched by position; it is kept in ``resources/nw_ucla_order.txt``.
"""

from __future__ import annotations

import json
import logging
import re
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.clip_groups import UCLA_NAME
from skeleton_lab.data.archives.packed import PackedClips, Writer, state_of, stored
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError

log = logging.getLogger("skeleton_lab")

FILE_NAME = re.compile(UCLA_NAME.pattern + r"\.json")
JOINTS = 20
ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)  # the numbers in the names, label 0..9
VIEWS = {"train": (1, 2), "test": (3,)}
LARGEST = 64 << 20  # bytes of one JSON file; the longest recording has 0.2 MB


def open_ucla(path: Path, split: str, cache_dir: str | Path | None = None) -> PackedClips:
    """The clips of one split: those of the published list in its order, then other files of its views by name.

    A file of the list that is missing is left out with a warning. Parsing takes seconds, so the result is kept in the
    cache until a file changes.

    Raises:
        ArchiveError: a recording is damaged, or there is none for this split.
    """
    files = _files(path)
    store = stored(path, "clips", state_of(files), lambda writer: _fill(writer, path), cache_dir=cache_dir, show=True)
    names, labels = store[1]["names"].tolist(), store[1]["labels"]
    at = {name: i for i, name in enumerate(names)}
    listed = [name for name in published_order() if view_of(name) in VIEWS[split]]
    missing = [name for name in listed if name not in at]
    more = sorted(name for name in set(names) - set(listed) if view_of(name) in VIEWS[split])
    if len(missing) == len(listed) and not more:
        raise ArchiveError(f"{path} holds no clip of the {split} views {VIEWS[split]} of NW-UCLA")
    if missing:
        log.warning("%s lacks %d of the %d listed %s clips, the first is %s: going on without them",
                    path, len(missing), len(listed), split, missing[0])  # fmt: skip
    subjects = np.array([int(match_name(name)[2]) for name in names], np.int64)
    clips = PackedClips(path, "nw-ucla", store, labels, names=names, subjects=subjects)
    about.by_format(clips)
    chosen = clips.subset([at[name] for name in listed if name in at] + [at[name] for name in more])
    others = sorted(name for name in names if not any(view_of(name) in views for views in VIEWS.values()))
    if others:
        chosen.unread = [f"{len(others)} recordings of other views than 1, 2 and 3, the first is {others[0]}"]
    foreign = [p.name for p in files if path.is_dir() and not FILE_NAME.fullmatch(p.name)]
    if foreign:
        chosen.unread.append(f"{len(foreign)} files with other names than aNN_sNN_eNN_vNN.json, as {foreign[0]}")
    chosen.T = max(int(chosen.lengths(np.arange(len(chosen)))[1].max()), 1)
    return chosen


@cache
def published_order() -> tuple[str, ...]:
    """The names of the published training list, then of the test list."""
    return tuple((Path(__file__).parent / "resources" / "nw_ucla_order.txt").read_text().split())


def match_name(name: str) -> re.Match:
    match = UCLA_NAME.fullmatch(name)
    assert match is not None, name  # only such names are stored
    return match


def view_of(name: str) -> int:
    return int(match_name(name)[3])


def _files(path: Path) -> list[Path]:
    """The files that tell whether anything has changed: all of a folder, or the tar."""
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _recordings(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name without suffix, and content, of every recording."""
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            if FILE_NAME.fullmatch(file.name):
                with parsing(file):
                    yield file.stem, file.read_bytes()
        return
    with parsing(path), tarfile.open(path) as tar:
        for member in tar:
            name = Path(member.name).name
            if not (member.isfile() and FILE_NAME.fullmatch(name)):
                continue
            if member.size > LARGEST:
                raise ArchiveError(f"{path}: {name} claims {member.size} bytes")
            content = tar.extractfile(member).read()
            if len(content) < member.size:
                raise ArchiveError(f"{path} is cut short: {name} has {member.size} bytes, {len(content)} present")
            yield name[:-5], content


def _fill(writer: Writer, path: Path):
    names, labels = [], []
    for name, content in _recordings(path):
        where = path / f"{name}.json" if path.is_dir() else f"{path}: {name}.json"
        x, label = _parse(content, name, where)
        names.append(name)
        labels.append(label)
        writer.add(x[None, :, None], name)
    if not names:
        raise ArchiveError(f"{path} holds no recordings called aNN_sNN_eNN_vNN.json: it is not NW-UCLA")
    if len(set(names)) < len(names):
        raise ArchiveError(f"{path} holds the same recording twice")
    return (3, writer.longest, JOINTS, 1), {"names": np.array(names), "labels": np.array(labels, np.int64)}


def _parse(content: bytes, name: str, where: Path | str) -> tuple[np.ndarray, int]:
    """Coordinates (L, 20, 3) and label 0..9 of one recording."""
    with parsing(where):
        clip = json.loads(content)
        x = np.asarray(clip["skeletons"], dtype=np.float64)
        label = clip["label"]
    if x.ndim != 3 or x.shape[1:] != (JOINTS, 3) or len(x) == 0:
        raise ArchiveError(f"{where}: skeletons has shape {x.shape}; accepted is (frames, {JOINTS}, 3) with a frame")
    if type(label) is not int or not 1 <= label <= len(ACTIONS):
        raise ArchiveError(f"{where}: label {label!r}; accepted are 1..{len(ACTIONS)}")
    action = int(match_name(name)[1])
    if action in ACTIONS and ACTIONS[label - 1] != action:
        raise ArchiveError(f"{where}: label {label} is action a{ACTIONS[label - 1]:02d}, the name says a{action:02d}")
    return x, label - 1
