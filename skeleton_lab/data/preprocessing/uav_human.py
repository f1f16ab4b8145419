"""UAV-Human's skeletons: NTU RGB+D's text with 17 joints, in files that say subject and action.

Li et al., "UAV-Human: A Large Benchmark for Human Behavior Understanding with Unmanned Aerial Vehicles", CVPR 2021.
155 actions from A000 on; who is trained on is a published list of subjects for each of two splits (CSv1, CSv2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skeleton_lab.data.archives.clip_groups import UAV_NAME
from skeleton_lab.data.preprocessing import own_archive, person_slots
from skeleton_lab.data.preprocessing.own_archive import Clip
from skeleton_lab.data.preprocessing.recordings import Source, listed
from skeleton_lab.data.preprocessing.run import Options, Run
from skeleton_lab.data.preprocessing.skeleton_text import read
from skeleton_lab.data.preprocessing.spool import Converted
from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.skeletons import layouts

SKELETON = "uav17"
CLASSES, SLOTS, LONGEST = 155, 4, 300
FILE = re.compile(r"(?P<name>[^.].*)\.(?:txt|skeleton)(?P<gz>\.gz)?", re.DOTALL)


@dataclass(frozen=True)
class UavHuman:
    """One recording: the two liveliest of the first four bodies of each frame, (2, T, 17, 3)."""

    frames: int | None
    truncate: bool

    def __call__(self, source: Source) -> Converted:
        recording = read(source, joints=layouts.layout(SKELETON).V)
        x = person_slots.liveliest(person_slots.slots(recording, SLOTS))
        if not x.any():
            raise ArchiveError(f"{source.shown}: nobody is in any of its frames")
        x = person_slots.checked_length(x, self.truncate, self.frames or x.shape[1])
        return Converted([x], {"scored": bool(((x[..., 2] >= 0) & (x[..., 2] <= 1)).all())}, [])


def subjects(path: Path) -> frozenset[int]:
    """The training subjects of a list: numbers, or numbers behind a P.

    Raises:
        ArchiveNotFoundError, ArchiveError: there is no such file, no number, or something else in it.
    """
    found = own_archive.words(own_archive.text_of(path))
    wrong = next((word for word in found if not re.fullmatch(r"P?\d{1,4}", word)), None)
    if wrong is not None or not found:
        seen = "nothing is in it" if wrong is None else f"not {wrong[:40]!r}"
        raise ArchiveError(f"{path}: numbers of training subjects expected (0, 2 or P000, P002), {seen}")
    return frozenset(int(word.lstrip("P")) for word in found)


def sources(folders: Sequence[Path], options: Options) -> list[Source]:
    """The recordings, sorted by name; files of other names are counted and said.

    Raises:
        UsageError: there are none. What ``listed`` raises.
    """
    there = {source.name: source for folder in reversed(folders) for source in listed(folder, FILE)}
    found = {name: source for name, source in there.items() if UAV_NAME.fullmatch(name)}
    if not found:
        raise UsageError(
            f"no recordings of UAV-Human in {' and '.join(map(str, folders))}: expected files "
            f"P000S00G10B10H50UC022LC021A000R0_08241716.txt ({len(there)} of other names)"
        )
    if len(found) < len(there):
        options.say(f"{len(there) - len(found)} files left out: not called P...S...G...B...H...UC...LC...A###R..._###")
    return [found[name] for name in sorted(found)]


def _facts(name: str) -> tuple[int, int]:
    """Subject and action of a name."""
    said = UAV_NAME.fullmatch(name)
    assert said
    return int(said["subject"]), int(said["action"])


def convert(
    folders: Sequence[Path], out: Path, split: Path, frames: int | None, truncate: bool, options: Options
) -> Path:  # fmt: skip
    """Write ``uav_{name of the list}.npz`` in ``out``; returns it.

    The third number of a joint counts as its score where it lies from 0 to 1 in all recordings, else as its depth.

    Raises:
        LabError: no recordings, no list, no room, another run's spool, or no clip in a part.
    """
    train, recordings = subjects(split), sources(folders, options)
    own_archive.check_parts([_facts(source.name)[0] in train for source in recordings], "recordings")
    pipeline = UavHuman(frames, truncate)
    run = Run(recordings, out, f"uav-{split.stem}", pipeline, options)
    V = layouts.layout(SKELETON).V
    with run.spooled(len(recordings) * 3 * (frames or LONGEST) * V * own_archive.PERSONS * 4) as spool:
        actions = {i: _facts(name)[1] for i, name in enumerate(spool.names)}
        spool.skip({i: f"action {a}: there are {CLASSES}, from 000 on" for i, a in actions.items() if a >= CLASSES})
        run.report(spool)
        scored = all(note["scored"] for _, note in spool.notes())
        clips = []
        for i, name in enumerate(spool.names):
            subject, action = _facts(name)
            clips.append(Clip(name, action, subject in train, i, subject=f"P{subject:03}"))
        says = {"skeleton": SKELETON, "channels": "xys" if scored else "xyz", "units": "px" if scored else "m"}
        options.say(f"third number of a joint: {'its score, from 0 to 1' if scored else 'its depth'}")
        with run.writing(len(clips)) as tick:
            path = own_archive.write(out / f"uav_{split.stem}.npz", spool, clips, frames, says, tick)
        run.finished(spool)
    return path
