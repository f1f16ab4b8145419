"""Files of key points, told by their content: arrays, nested lists, and what pose estimators write as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.data.archives import npy_format
from skeleton_lab.data.archives.opening import TAR
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import h5, npz, pyskl
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError
from skeleton_lab.inference.keypoints import arrays, estimators, formats
from skeleton_lab.inference.keypoints.arrays import FORMS, MOST
from skeleton_lab.inference.keypoints.checking import (
    FARTHEST,
    PERSONS,
    Keypoints,
    checked,
    infinite_in,
    nothing_found,
    say_kept,
)
from skeleton_lab.inference.keypoints.frames import Frames
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import CROWD, Person, linked
from skeleton_lab.skeletons.schemes import SCHEMES, SCORE, Scheme

TAR_NAMED = 262  # bytes after which a plain tar has said that it is one
Choose = Callable[[int, str], Scheme]  # the scheme of so many joints; for a message: where


Named = Callable[[Sequence[str], str], tuple[Scheme, list[int]] | None]  # and the file's number of each of its joints


class _How(NamedTuple):
    """How a file is read: the arguments of ``read``."""

    path: Path
    choose: Choose
    score: float
    notices: Notices
    named: Named | None
    persons: int

    def checked(self, name: str, points: np.ndarray, scores: np.ndarray | None, scheme: Scheme) -> Keypoints:
        return checked(points, scores, scheme, name, self.path, self.score, self.notices, self.persons)


def is_keypoints(path: Path) -> bool:
    """Whether a path holds key points, and not an archive of labelled clips: told by its content.

    Raises:
        ArchiveNotFoundError: it does not exist. ArchiveError: it is empty, or begins like nothing that is read.
    """
    if not path.exists():
        raise ArchiveNotFoundError(f"--input {path} does not exist (looked for {path.absolute()})")
    with parsing(path):
        if path.is_dir():
            return estimators.is_folder_of_frames(path)
        with open(path, "rb") as file:
            start = file.read(TAR_NAMED)
    if not start:
        raise ArchiveError(f"{path} is empty (0 bytes)")
    if formats.knows(path):
        return True
    if start.startswith(npz.MAGIC):
        return not any(key.startswith(("x_train", "x_test")) for key in npz.Npz(path).keys())  # noqa: SIM118
    if start.startswith(npy_format.MAGIC):
        return not holds_clips(npy_format.open_npy(path).shape)
    if path.name.endswith(".json") or start.lstrip()[:1] in (b"[", b"{"):
        return True
    if not start.startswith((h5.MAGIC, *TAR)) and start[257:262] != b"ustar" and start[:1] not in pyskl.STARTS:
        raise ArchiveError(
            f"{path} is in no known format, of key points or of archives; key points are read as {arrays.READ}"
        )
    return False


def holds_clips(shape: tuple[int, ...]) -> bool:
    """Whether an array is (N, C, T, V, M) of labelled clips, as MS-G3D and ST-GCN keep them."""
    if len(shape) != 5:
        return False
    _, C, T, V, M = shape  # of (N, T, M, V, C): frames, persons, joints, coordinates
    return C in (2, 3) and V in {scheme.V for scheme in SCHEMES.values()} and (M == 1 or T > MOST)


def read(
    path: Path,
    choose: Choose,
    score: float = SCORE,
    notices: Notices | None = None,
    named: Named | None = None,
    persons: int = PERSONS,
) -> tuple[list[Keypoints], Scheme]:
    """All recordings of a file or of a folder of frames, and their joints' order.

    Args:
        choose: ``placing.scheme_of`` with the user's wish.
        score: joints with a lower one, with NaN or ``null`` in score or place, were not found.
        notices: takes what the user should know.
        named: asked first, where a file names its joints. persons: of those who are seen most, how many are kept.

    Raises:
        ArchiveError: unknown, damaged, empty, or with infinite numbers. UsageError: another number of joints than the
        scheme has.
    """
    notices = Notices() if notices is None else notices
    how = _How(path, choose, score, notices, named, persons)
    if path.is_dir():
        return _of_frames([estimators.folder(path, notices)], how)
    if formats.knows(path):
        return _of_frames([formats.read(path, choose, notices)], how)
    with parsing(path), open(path, "rb") as file:
        start = file.read(8)
    if start.startswith(npz.MAGIC):
        stored, scores, first = arrays.member(npz.Npz(path))
        found = stored.read(), None if scores is None else scores.read(), first
        return of_array(path, *found, choose, score, notices, persons)
    if start.startswith(npy_format.MAGIC):
        return of_array(path, npy_format.open_npy(path).read(), None, False, choose, score, notices, persons)
    with parsing(path):
        content = estimators.parsed(path)
    frames = estimators.frames_of(content, path, notices)
    if frames is not None:
        return _of_frames(frames, how)
    return of_array(path, *arrays.of_lists(path, content), choose, score, notices, persons)


def of_array(
    path: Path, array: np.ndarray, scores: np.ndarray | None, first: bool, choose: Choose, score: float,
    notices: Notices, persons: int = PERSONS,
) -> tuple[list[Keypoints], Scheme]:  # fmt: skip
    """As ``read``, of an array in one of the ``FORMS`` and its scores; ``first``: people come before frames."""
    if array.dtype.kind not in "iuf" or array.ndim not in (3, 4, 5) or array.shape[-1] not in (2, 3, 4):
        raise ArchiveError(f"{path}: {array.dtype} of shape {array.shape}; accepted are {FORMS}")
    if not array.size:
        raise ArchiveError(f"{path}: shape {array.shape}: it holds no frames")
    scheme = choose(array.shape[-2], str(path))
    first = arrays.people_first(path, array.shape, first, notices)
    clips = arrays.arranged(array.astype(np.float64), first)
    beside = None
    if scores is not None and scores.dtype.kind in "iuf" and not np.isnan(scores).all():  # all NaN: a tool had none
        beside = arrays.arranged(scores.astype(np.float64).reshape(*array.shape[:-1], 1), first)[..., 0]
    how = _How(path, choose, score, notices, None, persons)
    made = [
        (f"{_name(path)}_{k}" if len(clips) > 1 else _name(path), points, sure, scheme)
        for k, (points, sure) in enumerate(arrays.split(clips, beside, scheme, path, notices))
    ]
    return _good(made, how.checked, notices), scheme


def _good(items: Sequence[tuple], make: Callable[..., Keypoints], notices: Notices) -> list[Keypoints]:
    """The recordings that ``make`` makes of items that begin with a name; those that hold nobody are said.

    Raises ``ArchiveError``, that of the first, if none is left.
    """
    found, errors = [], []
    for item in items:
        try:
            found.append(make(*item))
        except ArchiveError as error:
            errors.append(error)
            notices.add(f"left out {item[0]}", item[0], f"left out: {error}")
    if not found:
        raise errors[0]
    return found


def _name(path: Path) -> str:
    return path.name.partition(".")[0]


def _of_frames(recordings: Sequence[Frames], how: _How) -> tuple[list[Keypoints], Scheme]:
    path, notices = how.path, how.notices
    people = [person for frames in recordings for frame in frames.people for person in frame]
    shapes = {person.points.shape for person in people}
    if not shapes:
        count = sum(len(frames.people) for frames in recordings)
        raise ArchiveError(f"{path}: {count} frames, and nobody in any of them")
    if len(shapes) > 1:
        raise ArchiveError(f"{path}: persons of {' and '.join(str(shape[0]) for shape in sorted(shapes))} joints mixed")
    V, D = shapes.pop()
    names = recordings[0].joints
    told = how.named(names, str(path)) if how.named is not None and names is not None and len(names) == V else None
    scheme = told[0] if told else how.choose(V, str(path))
    if told and told[1] != list(range(V)):
        recordings = [_each(frames, lambda person: _reordered(person, told[1])) for frames in recordings]
    everybody = np.concatenate([person.points for person in people])
    unscored = D == 3 and all(person.scores is None for person in people)
    if unscored and arrays.third_is_score(everybody, scheme, path, notices):
        recordings = [
            _each(frames, lambda person: person._replace(points=person.points[:, :2], scores=person.points[:, 2]))
            for frames in recordings
        ]
    items = [(frames.name or _name(path), frames, scheme) for frames in recordings]
    return _good(items, lambda name, frames, scheme: _linked(name, frames, scheme, how), notices), scheme


def _each(frames: Frames, change: Callable[[Person], Person]) -> Frames:
    return frames._replace(people=[[change(person) for person in frame] for frame in frames.people])


def _reordered(person: Person, joints: list[int]) -> Person:
    return person._replace(
        points=person.points[joints], scores=None if person.scores is None else person.scores[joints]
    )


def _linked(name: str, frames: Frames, scheme: Scheme, how: _How) -> Keypoints:
    """One recording, in which it is known who is who."""
    path = how.path
    for t, frame in enumerate(frames.people):
        if any((np.abs(person.points) > FARTHEST).any() for person in frame):
            raise ArchiveError(infinite_in(path, name, t))
        if len(frame) > CROWD:
            line = f"{path}: {len(frame)} people in frame {t}: only the first {CROWD} of a frame are looked at"
            how.notices.add("crowd", str(path), line)
    clip = linked(frames.people, how.score, how.persons)
    if clip.persons:
        say_kept(clip.persons, how.persons, name, path, how.notices)
        found = how.checked(name, clip.points, clip.scores, scheme)
        return found._replace(first=frames.first, step=frames.step, image=frames.image)
    people = [person for frame in frames.people for person in frame]
    if not people:
        raise ArchiveError(f"{path}: {name}: nobody in any of its {len(frames.people)} frames")
    sure = [person.scores for person in people]
    everything = np.stack([person.points for person in people])[None]
    scores = None if any(each is None for each in sure) else np.stack(sure)[None]
    raise nothing_found(everything, scores, name, path, how.score)


def of_archive(
    clip: np.ndarray, scheme: Scheme, name: str, path: Path, score: float = SCORE, notices: Notices | None = None
) -> Keypoints:
    """A clip (T, M, V, C) of an archive, its last column a score where the scheme has one."""
    given: Any = arrays.split(clip[None], None, scheme, path, Notices() if notices is None else notices)
    return checked(*next(given), scheme, name, path, score, notices)
