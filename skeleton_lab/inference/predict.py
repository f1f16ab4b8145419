"""From what a user hands over, and wishes, to rows with logits: key points, raw recordings, annotations, archives."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.clip_groups import NTU_NAME, UCLA_NAME
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import any_skeleton
from skeleton_lab.inference import recordings as inputs
from skeleton_lab.inference.feeding import Fed
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.recordings import Found
from skeleton_lab.inference.windows import ALL, Own, Recordings, Row, Stored, cuts, rows_of, scheme_for
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.reporting.viewer.clip_source import raw_recordings
from skeleton_lab.skeletons import joint_maps
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.skeletons.schemes import SCHEMES

ANNOTATED = {17: "coco17", 25: "ntu25"}  # joints of PYSKL's annotations
ARRAY = Path("array")  # where an array's file would be, in messages and as the name of its clips


@dataclass
class Answer:
    """Recordings, and the rows with their logits, in order.

    Attributes:
        windows: how they were cut, in words, or None. feeder: of the clips of an archive that were taken whole.
    """

    recordings: Recordings
    rows: list[Row]
    windows: str | None = None
    feeder: Feeder | None = None


def predict(network: Fed, given: Path | np.ndarray | Clips, wishes: Wishes, config: str) -> Answer:
    """What the network says to a file, a folder, an array of key points or the clips of an archive.

    Args:
        given: an array is key points in one of ``keypoints.arrays.FORMS``, or clips (N, C, T, V, M).
        config: how messages call the configuration.

    Raises:
        ArchiveError, ArchiveNotFoundError: the input is missing, damaged or of no known form.
        UsageError: its joints and the network's do not go together.
    """
    answer = _answer(network, given, wishes, config)
    if network.calibration is not None:
        for row in answer.rows:
            row.temperature, row.known = network.calibration.temperature, bool(network.calibration.knows(row.logits))
    return answer


def _answer(network: Fed, given: Path | np.ndarray | Clips, wishes: Wishes, config: str) -> Answer:
    if isinstance(given, np.ndarray) and reading.holds_clips(given.shape):
        given = ArrayClips(given)
    if network.skeleton is not None:
        return _of_its_skeleton(network, network.skeleton, given, wishes)
    own = None if isinstance(given, Clips) else _own(network, given, wishes, config)
    if own is not None:
        window = wishes.window if wishes.window is not None else network.window_of_recordings
        return _asked(network, own, wishes, window, _shown(given))
    assert not isinstance(given, np.ndarray)  # would have been key points
    clips = _clips(given, wishes)
    taken = next((name for name in joint_maps.TARGETS if network.joints == SCHEMES[name].V), None)
    same = network.joints == clips.V and wishes.keypoints in (None, taken)
    for flag in ("up", "score"):
        if same and getattr(wishes, flag) is not None:
            raise UsageError(
                f"--{flag} is for key points; the clips of {_shown(given)} are taken as they are: leave it out"
            )
    if same and not wishes.window:
        return _archive(network, given, wishes)
    target = scheme_for(network.joints, config)
    known = ANNOTATED if clips.layout == "pyskl" else {25: "ntu25"}  # 25 joints are a Kinect's here, not OpenPose's
    told = wishes.keypoints or known.get(clips.V)
    source = target if same else normalise.scheme_of(told, clips.V, _shown(given))
    names = clips.names or [f"{wishes.split or 'test'}_{i}" for i in range(len(clips))]
    notices = Notices()
    recordings = Stored(clips, names, source, target, wishes.up, wishes.least_score, notices)
    if not same and not _of_ntu(network, names):
        recordings.labels = None  # of other actions
    answer = _asked(network, recordings, wishes, wishes.window or 0, _shown(given))
    _tell(notices)
    return answer


def _of_its_skeleton(network: Fed, skeleton: Layout, given: Path | np.ndarray | Clips, wishes: Wishes) -> Answer:
    """What a network says that was made for another skeleton than those of published archives: joints are as given."""
    notices = Notices()
    recordings = None
    if not isinstance(given, Clips):
        recordings = any_skeleton.of_keypoints(given, skeleton, network.channels, network.scored, wishes, notices)
    if recordings is not None:
        _refuse_archive_flags(wishes, given if isinstance(given, Path) else ARRAY, "holds key points")
        window = wishes.window if wishes.window is not None else network.window_of_recordings
    else:
        assert not isinstance(given, np.ndarray)
        for flag in ("up", "score"):
            if getattr(wishes, flag) is not None:
                raise UsageError(f"--{flag} is for key points; the clips of {_shown(given)} are taken as they are")
        clips = _clips(given, wishes)
        any_skeleton.check_archive(clips, skeleton, network.channels, _shown(given))
        if not wishes.window:
            answer = _archive(network, given, wishes)
            answer.recordings.skeleton, answer.recordings.scored = skeleton, clips.scored
            answer.recordings.class_names = clips.class_names
            return answer
        names = clips.names or [f"{wishes.split or 'test'}_{i}" for i in range(len(clips))]
        recordings, window = any_skeleton.StoredUnplaced(clips, names, skeleton), wishes.window
    _tell(notices)
    return _asked(network, recordings, wishes, window, _shown(given))


def _shown(given: Path | np.ndarray | Clips) -> str:
    return str(given.path if isinstance(given, Clips) else ARRAY if isinstance(given, np.ndarray) else given)


def _tell(notices: Notices) -> None:
    for line in notices.lines():
        print(line, file=sys.stderr)


def _own(network: Fed, given: Path | np.ndarray, wishes: Wishes, config: str) -> Recordings | None:
    """Recordings that are no archive: key points, raw ones, annotations; None for an archive."""
    notices, score = Notices(), wishes.least_score
    choose = lambda V, where: normalise.scheme_of(wishes.keypoints, V, where)  # noqa: E731
    if isinstance(given, np.ndarray):
        _refuse_archive_flags(wishes, ARRAY, "holds key points")
        found = Found(*reading.of_array(ARRAY, given, None, False, choose, score, notices), [])
    else:
        read = _read(given, wishes, notices)
        if read is None:
            return None
        found = read
    target = scheme_for(network.joints, config)
    same = found.scheme is target or _of_ntu(network, [keypoints.name for keypoints in found.keypoints])
    labels = found.labels if same and any(label is not None for label in found.labels) else None
    recordings = Own(found.keypoints, found.scheme, target, wishes.up, notices, labels)
    _tell(notices)
    return recordings


def _read(path: Path, wishes: Wishes, notices: Notices) -> Found | None:
    """A file or folder of recordings; None for an archive."""
    raw = raw_recordings(path)
    kind = "holds raw recordings" if raw else "holds key points" if reading.is_keypoints(path) else ""
    content = None if kind else inputs.annotation_list(path)
    if not kind and content is None:
        return None
    _refuse_archive_flags(wishes, path, kind or "holds annotations")
    if raw:
        if wishes.score is not None or wishes.keypoints not in (None, "ntu25"):
            flag = "--score" if wishes.score is not None else f"--keypoints {wishes.keypoints}"
            raise UsageError(f"{flag} is for key points, and {path} {kind}, of 25 joints without scores: leave it out")
        return inputs.raw(raw, notices)
    known = ANNOTATED if content is not None else {}
    choose = lambda V, where: normalise.scheme_of(wishes.keypoints or known.get(V), V, where)  # noqa: E731
    if content is not None:
        return inputs.annotated(path, content, choose, wishes.least_score, notices)
    return Found(*reading.read(path, choose, wishes.least_score, notices), [])


def _of_ntu(network: Fed, names: Sequence[str]) -> bool:
    """Whether labels of another skeleton's clips are this network's classes, by the names that NTU RGB+D gives."""
    return not network.ucla and all(NTU_NAME.fullmatch(name) for name in names)


def _refuse_archive_flags(wishes: Wishes, path: Path, kind: str) -> None:
    for flag in ("index", "split", "label_path", "layout"):
        if getattr(wishes, flag) is not None:
            raise UsageError(f"--{flag.replace('_', '-')} is for archives, and {path} {kind}: leave it out")


def _refuse_several(path: Path, wishes: Wishes) -> None:
    """UsageError for a folder of recordings, which is no archive: it has no labels beside it, as Kinetics' has."""
    whole = path.resolve()  # "." has no name
    if not path.is_dir() or wishes.label_path or whole.with_name(f"{whole.name}_label.json").exists():
        return
    one = next(iter(sorted(path.glob("*.json"))), None)
    if one is not None and not UCLA_NAME.match(one.name) and reading.is_keypoints(one):
        raise UsageError(
            f"{path} is a folder of recordings: name one of them (--input {one}), or make an archive of all "
            "(skeleton-lab prepare clips --help)"
        )


def _clips(given: Path | Clips, wishes: Wishes) -> Clips:
    if isinstance(given, Clips):
        clips = given
    else:
        _refuse_several(given, wishes)
        parts = both_splits.open_source(
            given, split=wishes.split, label_path=wishes.label_path, layout=wishes.layout
        )  # fmt: skip
        clips = parts["test"] if "test" in parts else next(iter(parts.values()))
    if wishes.index is None:
        return clips
    wrong = [row for row in wishes.index if not 0 <= row < len(clips)]
    if wrong:
        raise UsageError(f"--index {wrong[0]}: {_shown(given)} has {len(clips)} clips, 0 to {len(clips) - 1}")
    return clips.subset(np.array(wishes.index))


def _asked(network: Fed, recordings: Recordings, wishes: Wishes, window: int, shown: str) -> Answer:
    """Rows of windows, which the feeder gets as clips in memory."""
    stride = wishes.stride or max(window // 2, 1)
    rows = rows_of(recordings, window, stride, network.persons, alone=not wishes.together)
    if not rows:
        raise recordings.trouble or UsageError(f"{shown}: nobody is in it")
    describe = recordings.described if isinstance(recordings, any_skeleton.Unplaced) else lambda clips: clips
    for row, logits in zip(rows, network.clips_logits(cuts(recordings, rows), len(rows), describe=describe)):
        row.logits = logits
    return Answer(recordings, rows, f"windows of {window} frames, every {stride}" if window else None)


def _archive(network: Fed, given: Path | Clips, wishes: Wishes) -> Answer:
    """Whole clips by the test feeder on the archive itself; people alone as clips in memory."""
    feeder = network.archive_feeder(given, wishes.split, wishes.label_path, wishes.index, wishes.layout)
    recordings = Stored(feeder.clips, [str(name) for name in feeder.sample_name], None, None)
    recordings.labels = feeder.label.tolist()
    _, ends = feeder.clips.lengths(np.arange(len(feeder.label)))
    logits = network.logits(feeder)
    rows = [Row(k, 0, max(int(end), 1), ALL, values) for k, (end, values) in enumerate(zip(ends, logits))]
    if wishes.together or feeder.clips.M < 2 or feeder.clips.V != 25 or network.bones:
        return Answer(recordings, rows, feeder=feeder)
    alone = rows_of(recordings, 0, 1, network.persons, alone=True, everybody=False)
    if alone:
        for row, values in zip(alone, network.clips_logits(cuts(recordings, alone), len(alone), "each person")):
            row.logits = values
    return Answer(recordings, sorted([*rows, *alone], key=lambda row: row.recording), feeder=feeder)
