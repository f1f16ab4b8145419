"""Sample names of NTU RGB+D 60 and 120: what they say, which exist, and the parts of the published benchmarks.

``SsssCcccPpppRrrrAaaa``: setup, camera, performer, replication, action class.  Facts published with the data set
(Shahroudy et al. 2016, Liu et al. 2019); no file is needed to know the names of all samples.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

PATTERN = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
TWO_PERSONS = frozenset([*range(50, 61), *range(106, 121)])  # actions of two people


class Sample(NamedTuple):
    """The numbers of a name, from 1 as written."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @property
    def label(self) -> int:
        return self.action - 1


def sample(name: str) -> Sample:
    """Raises ValueError where ``name`` is not exactly ``SsssCcccPpppRrrrAaaa``."""
    found = PATTERN.fullmatch(name)
    if not found:
        raise ValueError(f"'{name}' is no sample name such as S001C001P001R001A001")
    return Sample(*map(int, found.groups()))


def numbers(text: str) -> tuple[int, ...]:
    """``"3 7-9"`` -> (3, 7, 8, 9)."""
    spans = [[int(end) for end in word.split("-")] for word in text.split()]
    return tuple(n for span in spans for n in range(span[0], span[-1] + 1))


# Who was recorded in which setup; each by 3 cameras, twice, in 60 actions.
_PERFORMERS = """1-8|3 7-14|1 2 7 8 15-19|3 7 8 20|4 10 13 15-18 21|1 7 8 15-17 19 22-24|1 7 8 15-19 25-28
1 7 8 15 19 25 29-36|7 8 15-17 19 25|7 8 13 15-19 21 25|1 2 7 8 15-19 25 27 28 38|7 8 15-19 25 27 28 37
7 8 15-19 25 27 28 37|7 8 15 17 19 25 27 37 39|7 8 15-17 19 25 37|7 8 19 21 25 39 40|3 7 8 9 15 16 17 20
8 41-45|8 41 42 46-51|8 41 43 44 52-54|55-60|61-67|55-68|57 60-64 67|55 56 58 59 65 66 68
8 41 44 49-51 69-72 74-77|6 8 11 41 43 44 78-86|8 41-43 46 48 70 73 87|6 8 41 43 44 48 49 51 67 74 75 80 88-90
8 11 41 43 44 48 67 75 76 81 85 88 91-96|6 8 41-44 51 67 82 85 96-101|8 41 43 44 67 102-106"""
PERFORMERS = {s: numbers(text) for s, text in enumerate(re.split(r"[|\n]", _PERFORMERS), 1)}

# The one-shot protocol of NTU RGB+D 120 (Liu et al. 2020, section 4.2): classes A1, A7 ... A115 are novel, the other
# 100 are auxiliary; of each novel class one clip is the anchor, all of its others are tested.
ONE_SHOT_NOVEL = tuple(range(0, 120, 6))


def anchor(label: int) -> str:
    """Name of the anchor of a novel class: S001C003P008R001A### or, of the later classes, S018C003P008R001A###."""
    return f"S{1 if label < 60 else 18:03d}C003P008R001A{label + 1:03d}"


_TRAIN_60 = numbers("1 2 4 5 8 9 13-19 25 27 28 31 34 35 38")
_TRAIN_120 = _TRAIN_60 + numbers("45-47 49 50 52-59 70 74 78 80-86 89 91-95 97 98 100 103")


def _without(last: int, taken: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in range(1, last + 1) if n not in taken)


class Benchmark(NamedTuple):
    """A published division.

    ``train`` and ``test`` list values of ``field`` of ``Sample``, in the order in which the groups stand in the NPZ.
    """

    archive: str  # NTU60_CS (.npz of the CTR-GCN lineage)
    folder: str  # xsub: folder of the .npy pipelines, prefix of the splits of PYSKL
    field: str
    train: tuple[int, ...]
    test: tuple[int, ...]

    def part(self, name: str) -> str | None:
        """ "train", "test", or None for a name outside of the data set."""
        value = getattr(sample(name), self.field)
        return "train" if value in self.train else "test" if value in self.test else None

    def rows(self, names: Iterable[str], part: str) -> list[int]:
        """Places in ``names`` of the samples of ``part``, in the row order of the NPZ: by group, then as given."""
        groups: dict[int, list[int]] = {value: [] for value in getattr(self, part)}
        for i, name in enumerate(names):
            groups.get(getattr(sample(name), self.field), []).append(i)
        return [i for group in groups.values() for i in group]


class Dataset(NamedTuple):
    """NTU RGB+D 60 or 120."""

    name: str
    setups: int
    performers: int
    classes: int
    benchmarks: tuple[Benchmark, ...]

    def has(self, name: str) -> bool:
        """Whether the numbers of a name lie within this data set."""
        s = sample(name)
        return (
            0 < s.setup <= self.setups
            and 0 < s.performer <= self.performers
            and 0 < s.action <= self.classes
            and 0 < s.camera <= 3
        )

    def missing(self) -> frozenset[str]:
        """Samples whose skeletons are missing or incomplete: the published list, packaged."""
        return read_names(Path(__file__).parent / "resources" / f"missing_skeletons_{self.name}.txt")


DATASETS = {
    "ntu60": Dataset("ntu60", 17, 40, 60, (
        Benchmark("NTU60_CS", "xsub", "performer", _TRAIN_60, _without(40, _TRAIN_60)),
        Benchmark("NTU60_CV", "xview", "camera", (2, 3), (1,)),
    )),
    "ntu120": Dataset("ntu120", 32, 106, 120, (
        Benchmark("NTU120_CSet", "xset", "setup", tuple(range(2, 33, 2)), tuple(range(1, 33, 2))),
        Benchmark("NTU120_CSub", "xsub", "performer", _TRAIN_120, _without(106, _TRAIN_120)),
    )),
}  # fmt: skip


def read_names(path: Path) -> frozenset[str]:
    """Sample names of a list, one per line; lines that are something else (the authors' lists begin with prose) are
    skipped.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    words = (line.strip().removesuffix(".skeleton") for line in path.read_text().splitlines())
    return frozenset(word for word in words if PATTERN.fullmatch(word))


@lru_cache
def all_names(dataset: str) -> tuple[str, ...]:
    """Every sample of "ntu60" (56,578) or "ntu120" (113,945) that has a skeleton, sorted."""
    chosen = DATASETS[dataset]
    missing = chosen.missing()
    names = (
        f"S{s:03}C{c:03}P{p:03}R{r:03}A{a:03}"
        for s in range(1, chosen.setups + 1)
        for c, p, r, a in itertools.product(
            (1, 2, 3), PERFORMERS[s], (1, 2), range(1, 61) if s <= 17 else range(61, 121)
        )
    )
    return tuple(name for name in names if name not in missing)


def row_names(archive: str, part: str) -> list[str]:
    """Names of the rows of a published NPZ: ``row_names("NTU60_CS", "train")``; part "train" or "test".

    They hold for a file only if its counts and labels agree: compare before relying on them.

    Raises:
        KeyError: no such archive.
    """
    return list(_row_names(archive, part))


@lru_cache
def _row_names(archive: str, part: str) -> tuple[str, ...]:
    for dataset in DATASETS.values():
        for benchmark in dataset.benchmarks:
            if benchmark.archive == archive:
                names = all_names(dataset.name)
                return tuple(names[i] for i in benchmark.rows(names, part))
    raise KeyError(archive)
