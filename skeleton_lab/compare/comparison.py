"""Everything that is known of the runs together: what the page, the files and the pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skeleton_lab.compare import clips as test_clips
from skeleton_lab.compare import figures, finding, pairs, parts, published
from skeleton_lab.compare.clips import Clips
from skeleton_lab.compare.figures import Group, Row
from skeleton_lab.compare.finding import Place
from skeleton_lab.compare.fusions import Fusion
from skeleton_lab.compare.pairs import ClassDifference, Pair
from skeleton_lab.compare.parts import Parts
from skeleton_lab.compare.published import Published
from skeleton_lab.compare.reading import Result, read
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.reporting.run_report.work_dir import number

SHOWN = 8  # groups that have a colour of their own


@dataclass
class Comparison:
    """Runs on the same clips.

    Attributes:
        groups: of runs that differ by their seed alone, best first. unfinished: runs that are listed and not compared.
        pairs: every two runs. chosen: the two whose classes are compared; differences: by class.
        parts: the clips parted by subject ... published: by the name of a group.
    """

    clips: Clips
    class_names: list[str]
    groups: list[Group]
    unfinished: list[Result]
    pairs: list[Pair]
    chosen: tuple[Row, Row] | None
    differences: list[ClassDifference]
    parts: list[Parts]
    published: dict[str, Published]
    notices: list[str] = field(default_factory=list)
    fusions: list[Fusion] = field(default_factory=list)  # that the studies have made

    @property
    def rows(self) -> list[Row]:
        return figures.best_rows(self.groups)

    def beside(self, group: Group) -> Published | None:
        """The published figure of a group, if it is one of the same test set."""
        theirs = self.published.get(group.name)
        return theirs if theirs is not None and theirs.same_clips else None

    @property
    def shown(self) -> list[Group]:
        """The groups of charts and wide tables."""
        return self.groups[:SHOWN]


def compare(
    places: Sequence[Place],
    *,
    common: bool = False,
    pair: tuple[str, str] | None = None,
    archive: Path | None = None,
    show: bool = True,
) -> Comparison:
    """Compare finished runs.

    Args:
        places: of the runs. common: the clips that all were tested on, where these are not the same.
        pair: names of the two runs whose classes are compared; by default the best of the best two groups.
        archive: of the test clips, for accuracy by their length. show: progress.

    Raises:
        UsageError: no finished run, other test clips, a name of ``pair`` that no run has.
    """
    results, notices = read(places, show)
    finished = [result for result in results if result.finished]
    if not finished:
        raise UsageError(
            f"none of the {len(results)} runs has finished and left its evaluation.npz: nothing to compare"
        )
    before = {result.name: len(result.labels) for result in finished}
    clips, said = test_clips.align(finished, common)
    rows = [figures.row(each, clips.classes, _whole(each, before[each.name], len(clips))) for each in finished]
    groups = figures.grouped(rows)
    rows = figures.best_rows(groups)
    found = parts.of_clips(rows, clips)
    frames = clips.frames if archive is None else parts.lengths_of(archive, clips, show)
    if frames is not None:
        found.append(parts.by_length(rows, frames))
    chosen = _chosen(groups, pair)
    theirs = {group.name: published.of(group.first.result) for group in groups}
    return Comparison(
        clips, _names(finished, clips.classes), groups, [each for each in results if not each.finished],
        pairs.all_pairs(rows), chosen, pairs.by_class(*chosen) if chosen else [], found,
        {name: each for name, each in theirs.items() if each is not None}, notices + said + _other_epochs(finished),
    )  # fmt: skip


def _whole(result: Result, before: int, compared: int) -> bool:
    """Whether the clips that are compared are all that the run was tested on, as far as it tells."""
    tested = number(result.run.start.get("test_samples"))
    return before == compared and tested in (None, compared)


def _chosen(groups: Sequence[Group], pair: tuple[str, str] | None) -> tuple[Row, Row] | None:
    rows = {row.name: row for row in figures.best_rows(groups)}
    if pair is not None:
        for name in pair:
            if name not in rows:
                raise UsageError(
                    f"--pair: no finished run is called '{name}'.{nearest(name, rows)} Runs are {', '.join(rows)}"
                )
        return rows[pair[0]], rows[pair[1]]
    best = [max(group.rows, key=lambda row: row.answers.right) for group in groups]
    if len(best) > 1:
        return best[1], best[0]
    return (groups[0].rows[0], groups[0].rows[1]) if len(groups[0].rows) > 1 else None


def _names(results: Sequence[Result], classes: int) -> list[str]:
    """K names, of the run that knows most of them."""
    told = max((result.class_names for result in results), key=lambda names: sum(map(_is_name, names)))
    return told + [f"class {k}" for k in range(len(told), classes)]


def _is_name(name: str) -> bool:
    return not name.startswith("class ")


def _other_epochs(results: Sequence[Result]) -> list[str]:
    """What is said of runs whose answers are not those of their best epoch."""
    names = [result.name for result in results if result.other_epoch]
    if not names:
        return []
    return [
        f"Of their best epoch these runs have kept the accuracy alone: {finding.some(names)}. Their classes, pairs, "
        "parts of the test set, top-5 and macro figures are those of the last epoch or test."
    ]


def occurring(comparison: Comparison) -> np.ndarray:
    """(k,) classes that have clips or are told of one by a run, ascending."""
    told = [np.unique(row.result.predicted) for row in comparison.rows]
    return np.unique(np.concatenate([np.unique(comparison.clips.labels), *told]))
