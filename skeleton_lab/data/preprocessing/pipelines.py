"""The published pipelines for NTU RGB+D: what each does to a recording, and the files it leaves.

A pipeline is a small picklable object: called in a worker it converts one recording, later it writes its files from
the spool.  Its fields are the options that change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from skeleton_lab.data.archives.ntu_protocol import DATASETS, Benchmark, Dataset, sample
from skeleton_lab.data.archives.prenormalize import FRAMES, PERSONS, looped, normalise
from skeleton_lab.data.archives.writers.streaming import (
    Rows,
    Streamed,
    write_npy,
    write_npz,
    write_pickle,
    write_streamed_pickle,
)
from skeleton_lab.data.preprocessing import person_slots, pyskl_persons
from skeleton_lab.data.preprocessing.actors import scene
from skeleton_lab.data.preprocessing.denoise import WIDTH, denoise, translate
from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.data.preprocessing.skeleton_text import read
from skeleton_lab.data.preprocessing.spool import Converted, Spool
from skeleton_lab.errors import ArchiveError
from skeleton_lab.skeletons.bones import NTU, bone

FLOAT = np.dtype(np.float32)
PARTS = {"train": "train", "test": "val"}  # what the .npy pipelines and PYSKL call them
Tick = Callable[[Iterable[Any]], Iterator[Any]]  # passes items on and moves the progress bar


@dataclass(frozen=True)
class Pipeline:
    """Base: ``dataset`` is "ntu60" or "ntu120"; ``truncate`` cuts clips that are too long instead of skipping them."""

    dataset: str
    truncate: bool = False
    key: ClassVar[str] = ""

    @property
    def facts(self) -> Dataset:
        return DATASETS[self.dataset]

    def __call__(self, source: Source) -> Converted:
        raise NotImplementedError

    def arranged(self, sources: Sequence[Source]) -> list[Source]:
        """The recordings in the order of the rows, before those are divided into parts."""
        return list(sources)

    def written(self, samples: int) -> int:
        """How many clips go into files, for the progress bar."""
        return samples * len(self.facts.benchmarks)

    def bytes(self, samples: int) -> int:
        """Size of what the pipeline leaves, at most."""
        return self.written(samples) * FRAMES * 2 * WIDTH * 4

    def write(self, spool: Spool, sources: Sequence[Source], out: Path, tick: Tick) -> list[Path]:
        """Write all files; returns them. Raises OSError where the disk does not take them."""
        raise NotImplementedError


@dataclass(frozen=True)
class CtrGcn(Pipeline):
    """``NTU60_CS.npz`` and its kind (CTR-GCN, FreqMixFormer, SkateFormer, Hyper-GCN).

    frames: length of the arrays; None for the longest clip, as published. duplicate_single: repeat the only person of a
    clip as the second one; None as published, in the files of NTU 120. colors: keep the pixels for a side file.
    """

    frames: int | None = None
    duplicate_single: bool | None = None
    colors: bool = False
    key: ClassVar[str] = "ctrgcn"

    def __call__(self, source: Source) -> Converted:
        found = scene(read(source, self.colors))
        clip = denoise(source.name, found)
        if self.frames and len(clip.joints) > self.frames and not self.truncate:
            raise ArchiveError(f"{len(clip.joints)} frames, --frames is {self.frames}; --truncate cuts such clips")
        note = {"frames": found.frames, "dropped": found.dropped, "logs": clip.logs, "actors": clip.actors}
        arrays = [clip.joints] if clip.colors is None else [clip.joints, clip.colors]
        return Converted(arrays, note, found.warnings)

    def write(self, spool: Spool, sources: Sequence[Source], out: Path, tick: Tick) -> list[Path]:
        longest = max(spool.shapes(i)[0][0] for i in range(len(spool)))
        frames = self.frames or longest
        paths = []
        for benchmark in self.facts.benchmarks:
            members = {}
            for part in ("train", "test"):
                at = benchmark.rows(spool.names, part)
                shape = (len(at), frames, 2 * WIDTH)
                members[f"x_{part}"] = Rows(shape, FLOAT, tick(self._row(spool.array(i), frames) for i in at))
                classes = self.facts.classes
                hot = (np.eye(classes)[sample(spool.names[i]).label] for i in at)
                members[f"y_{part}"] = Rows((len(at), classes), np.dtype(np.float64), hot)
            paths.append(write_npz(out / f"{benchmark.archive}.npz", members))
        return paths

    def _row(self, joints: np.ndarray, frames: int) -> np.ndarray:
        """(T, 75 or 150) -> (frames, 150)."""
        moved = translate(joints)[:frames]
        row = np.zeros((frames, 2 * WIDTH), np.float32)
        row[: len(moved), : moved.shape[1]] = moved
        duplicate = self.dataset == "ntu120" if self.duplicate_single is None else self.duplicate_single
        if moved.shape[1] == WIDTH and duplicate:
            row[:, WIDTH:] = row[:, :WIDTH]
        return row


@dataclass(frozen=True)
class _Arrays(Pipeline):
    """``{xsub,...}/{train,val}_data*.npy (N, 3, 300, 25, 2)`` and ``_label.pkl``."""

    array: ClassVar[str] = "data"

    def write(self, spool: Spool, sources: Sequence[Source], out: Path, tick: Tick) -> list[Path]:
        labelled = dict(self.label_names(sources))
        paths = []
        for benchmark in self.facts.benchmarks:
            for part, word in PARTS.items():
                at = [i for i, name in enumerate(spool.names) if benchmark.part(name) == part]
                stem = out / benchmark.folder / word
                paths += self.write_part(stem, spool, at, tick)
                names = [labelled[spool.names[i]] for i in at]
                labels = [sample(spool.names[i]).label for i in at]
                paths.append(write_pickle(Path(f"{stem}_label.pkl"), (names, labels)))
        return paths

    def label_names(self, sources: Sequence[Source]) -> Iterator[tuple[str, str]]:
        for source in sources:
            yield source.name, f"{source.name}.skeleton"

    def write_part(self, stem: Path, spool: Spool, at: list[int], tick: Tick) -> list[Path]:
        shape = (len(at), 3, FRAMES, 25, 2)
        rows = tick(self.row(spool.array(i)) for i in at)
        return [write_npy(Path(f"{stem}_{self.array}.npy"), Rows(shape, FLOAT, rows))]

    def row(self, x: np.ndarray) -> np.ndarray:
        """(2, T, 25, 3) of the spool -> (3, 300, 25, 2)."""
        raise NotImplementedError


@dataclass(frozen=True)
class StGcn(_Arrays):
    """The first two bodies of every frame as they are."""

    key: ClassVar[str] = "stgcn"

    def __call__(self, source: Source) -> Converted:
        x = person_slots.checked_length(person_slots.slots(read(source), PERSONS), self.truncate)
        return Converted([x.astype(np.float32)], {}, [])

    def row(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((3, FRAMES, 25, PERSONS), np.float32)
        out[:, : x.shape[1]] = x.transpose(3, 1, 2, 0)
        return out


@dataclass(frozen=True)
class MsG3d(_Arrays):
    """The two liveliest slots, repeated to 300 frames, centred and turned; ``bones`` writes the bone arrays as well."""

    bones: bool = False
    key: ClassVar[str] = "msg3d"
    array: ClassVar[str] = "data_joint"

    def __call__(self, source: Source) -> Converted:
        x = person_slots.liveliest(person_slots.slots(read(source), 4))
        warnings = [] if x.any() else ["nobody is in any of its frames: the clip stays empty"]
        return Converted([normalise(person_slots.checked_length(x, self.truncate))], {}, warnings)

    def arranged(self, sources: Sequence[Source]) -> list[Source]:
        shown = dict(self.label_names(sources))  # with the folder, for NTU 120
        return sorted(sources, key=lambda source: shown[source.name])

    def written(self, samples: int) -> int:
        return super().written(samples) * (2 if self.bones else 1)

    def label_names(self, sources: Sequence[Source]) -> Iterator[tuple[str, str]]:
        if self.dataset == "ntu60":
            yield from super().label_names(sources)
            return
        for source in sources:  # the folder as given, joined with the file name, as published
            folder = source.path if source.member else str(Path(source.path).parent)
            yield source.name, f"{folder}/{source.name}.skeleton"

    def write_part(self, stem: Path, spool: Spool, at: list[int], tick: Tick) -> list[Path]:
        paths = super().write_part(stem, spool, at, tick)
        if self.bones:
            rows = tick(bone(self.row(spool.array(i)), NTU) for i in at)
            paths.append(write_npy(Path(f"{stem}_data_bone.npy"), Rows((len(at), 3, FRAMES, 25, 2), FLOAT, rows)))
        return paths

    def row(self, x: np.ndarray) -> np.ndarray:
        return looped(x.swapaxes(0, 1), x.shape[1]).transpose(3, 0, 2, 1)


@dataclass(frozen=True)
class PySkl(Pipeline):
    """``ntu60_3danno.pkl`` or ``ntu120_3danno.pkl``: a dict of ``split`` lists and ``annotations``."""

    key: ClassVar[str] = "pyskl"

    def __call__(self, source: Source) -> Converted:
        found = scene(read(source))
        # float16 fits into the spool's float32 without loss.
        return Converted([pyskl_persons.key_points(found).astype(np.float32)], {}, found.warnings)

    def written(self, samples: int) -> int:
        return samples

    def write(self, spool: Spool, sources: Sequence[Source], out: Path, tick: Tick) -> list[Path]:
        content = {
            "split": {
                f"{benchmark.folder}_{word}": [name for name in spool.names if benchmark.part(name) == part]
                for benchmark in self._ordered()
                for part, word in PARTS.items()
            },
            "annotations": Streamed(tick(self._annotation(spool, i) for i in range(len(spool)))),
        }
        return [write_streamed_pickle(out / f"{self.dataset}_3danno.pkl", content)]

    def _ordered(self) -> list[Benchmark]:
        return sorted(self.facts.benchmarks, key=lambda benchmark: benchmark.folder != "xsub")

    @staticmethod
    def _annotation(spool: Spool, i: int) -> dict[str, Any]:
        name, x = spool.names[i], spool.array(i).astype(np.float16)
        return {"frame_dir": name, "label": sample(name).label, "keypoint": x, "total_frames": x.shape[1]}


PIPELINES: dict[str, type[Pipeline]] = {kind.key: kind for kind in (CtrGcn, MsG3d, StGcn, PySkl)}
