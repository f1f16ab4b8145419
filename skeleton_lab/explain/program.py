"""``skeleton-lab explain ROOM``: which joints and moments of a clip a network's decision rests on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skeleton_lab.errors import LabError, UsageError, guarded, one_line
from skeleton_lab.explain.cells import JOINTS, LIMBS
from skeleton_lab.inference import flags
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.utils import results
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser, check_sizes
from skeleton_lab.utils.importing import optional
from skeleton_lab.utils.progress import clip_bar

if TYPE_CHECKING:
    from skeleton_lab.explain.attribution import Maps, Question
    from skeleton_lab.explain.cells import Cells
    from skeleton_lab.explain.choice import Asked
    from skeleton_lab.explain.results import Explained
    from skeleton_lab.inference.network import Network
    from skeleton_lab.inference.windows import Recordings
    from skeleton_lab.skeletons.layouts import Layout

TABLE, PAGE, PICTURE, SANITY = "explanations.json", "explanations.html", "explanations.png", "sanity.png"
PIECES, STEPS, CLIPS = 16, 32, 16
MOST_PIECES, MOST_STEPS = 300, 4096


def _parser() -> Parser:
    made = Parser(
        description="Which joints and moments of a clip a trained network's decision rests on: maps by occlusion and "
        "by integrated gradients, of single clips or, with --class, their mean over clips of a class.",
    )
    flags.of_a_network(made)
    add = made.add_argument
    add("--input", type=Path, required=True, help=flags.INPUT)
    add("--index", type=int, nargs="+", metavar="ROW", help="clips of an archive, from 0; default: the first")
    add("--class", dest="class_", metavar="CLASS", help="clips of an archive of this class, by name or number from 0, "
        "and the mean of their maps")  # fmt: skip
    add("--clips", type=int, default=CLIPS, metavar="N", help=f"at most so many clips or windows; default: {CLIPS}")
    add("--target", metavar="CLASS", help="explain this class; default: the most probable one, with --class that one")
    add("--parts", choices=(JOINTS, LIMBS), default=JOINTS, help="what is hidden together; default: each joint alone")
    add("--pieces", type=int, default=PIECES, metavar="N", help=f"pieces of a clip's time; default: {PIECES}")
    add("--baseline", choices=("mean", "zeros"), default="mean", help="where a hidden joint is: at its mean place in "
        "the clip, or at the origin; default: mean")  # fmt: skip
    add("--steps", type=int, default=STEPS, metavar="N", help=f"of integrated gradients; default: {STEPS}")
    add("--sanity", action="store_true", help="also explain the first clip by networks with random layers, of which a "
        "map must not be the same")  # fmt: skip
    add("--seed", type=int, default=0, help="of these layers; default: 0")
    flags.of_recordings(made)
    add("--output", type=Path, default=Path("work_dir/explain"), metavar="DIR",
        help=f"for {TABLE}, {PAGE}, {PICTURE}; default: work_dir/explain")  # fmt: skip
    add("--device", default="cpu", help="cpu, 0, cuda:0; default: cpu")
    return made


def _check(options: argparse.Namespace) -> None:
    """UsageError for numbers that cannot work, before anything is loaded."""
    check_sizes(options, "clips", "pieces", "steps")
    if options.pieces > MOST_PIECES or options.steps > MOST_STEPS:
        flag, most = ("pieces", MOST_PIECES) if options.pieces > MOST_PIECES else ("steps", MOST_STEPS)
        raise UsageError(f"--{flag} {getattr(options, flag)} must be at most {most}")
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"--seed {options.seed} must be a whole number of 0 or more")
    flags.check(options)
    optional("matplotlib", "matplotlib", "report", f"{PICTURE}")


def run(options: argparse.Namespace) -> int:
    """Explain, write and say.

    Raises:
        LabError: what the user has to put right.
    """
    _check(options)
    from skeleton_lab.explain import choice  # here: --help and mistakes need no PyTorch
    from skeleton_lab.explain.attribution import Question
    from skeleton_lab.inference import opening
    from skeleton_lab.nn.fuse import unfuse

    wishes = choice.wishes_of(options)
    with opening.opened(options) as network:
        network.model = unfuse(network.net).eval().requires_grad_(False)
        wanted = choice.Choice(options.class_, options.target, options.clips, options.baseline)
        config = str(network.options.config)
        answer, classes, asked = choice.chosen(network, options.input, wishes, wanted, options.classes, config)
        layout = choice.layout_of(network, asked[0].clip)
        job = _Job(network, options, layout, Question(network.net, asked[0].clip.average))
        explained = job.explain(asked)
        checked = job.sanity(explained[0]) if options.sanity else []
    _tell(_write(_Result(options, network, explained, checked, answer.recordings, classes, layout)))
    return 0


@dataclass
class _Job:
    """What is computed, with a bar."""

    network: Network
    options: argparse.Namespace
    layout: Layout | None
    ask: Question

    def explain(self, asked: Sequence[Asked]) -> list[Explained]:
        from skeleton_lab.explain import attribution, cells
        from skeleton_lab.explain.results import Explained

        made = []
        for each in asked:
            parts = cells.parts_of(self.layout, each.clip.points.shape[2], self.options.parts)
            made.append((each, cells.cells(each.clip.points, parts, self.options.pieces)))
        total = sum(attribution.work(mine, self.options.steps) for _, mine in made)
        with clip_bar(total, "explaining", unit=" passes") as bar:
            return [Explained(each, mine, self._maps(self.ask, each, mine, bar.update)) for each, mine in made]

    def _maps(self, ask: Question, asked: Asked, cells: Cells, advance: Callable[[int], Any]) -> Maps:
        from skeleton_lab.explain import attribution

        return attribution.maps(ask, asked.clip, cells, asked.target, self.options.steps, advance)

    def sanity(self, first: Explained) -> list[dict[str, Any]]:
        """Of the first clip."""
        from skeleton_lab.explain import attribution, sanity

        total = len(sanity.STAGES) * attribution.work(first.cells, self.options.steps)
        fresh = sanity.fresh(self.network, self.options.seed)
        with clip_bar(total, "random layers", unit=" passes") as bar:
            again = lambda ask: self._maps(ask, first.asked, first.cells, bar.update)  # noqa: E731
            return sanity.check(self.ask, fresh, first.maps, first.cells.persons, again)


@dataclass
class _Result:
    """What was found out."""

    options: argparse.Namespace
    network: Network
    explained: list[Explained]
    checked: list[dict[str, Any]]
    recordings: Recordings
    classes: Sequence[str]
    layout: Layout | None
    notices: list[str] = field(default_factory=list)
    means: dict[str, np.ndarray] = field(default_factory=dict)  # of one class alone
    written: list[str] = field(default_factory=list)

    @property
    def count(self) -> str:
        return f"{len(self.explained)} clip{'s' * (len(self.explained) != 1)}"

    @property
    def title(self) -> str:
        targets = {each.maps.target for each in self.explained}
        what = self.classes[min(targets)] if len(targets) == 1 else f"{len(targets)} classes"
        return f"{what}: {self.network.options.model}"


def _write(found: _Result) -> _Result:
    from skeleton_lab.explain.attribution import METHODS
    from skeleton_lab.explain.results import incomplete, mean_map, seen_from

    if len({each.maps.target for each in found.explained}) == 1:
        found.means = {method: mean_map(found.explained, method) for method in METHODS}
    found.notices = [*seen_from(found.explained[0]), *incomplete(found.explained)]
    folder = found.options.output
    results.write_json(folder / TABLE, _content(found))
    found.written.append(TABLE)
    try:
        _page_and_pictures(found, folder)
    except OSError as error:
        if isinstance(error, LabError):
            raise
        raise UsageError(f"--output {folder} cannot be written: {error.strerror or error}") from error
    return found


def _content(found: _Result) -> dict[str, Any]:
    from skeleton_lab.explain.cells import shares
    from skeleton_lab.explain.results import mean_agreement

    options, parts = found.options, found.explained[0].cells.parts
    return {
        "input": str(options.input), "config": str(found.network.options.config), "weights": str(options.weights),
        "network": found.network.options.model, "parts": [part.name for part in parts], "baseline": options.baseline,
        "steps": options.steps, "agreement": mean_agreement(found.explained), "sanity": found.checked,
        "mean": {method: values.round(5).tolist() for method, values in found.means.items()},
        "shares": {method: shares(values, parts) for method, values in found.means.items()},
        "clips": [each.as_json(found.classes) for each in found.explained],
    }  # fmt: skip


def _page_and_pictures(found: _Result, folder: Path) -> None:
    from skeleton_lab.explain import page, pictures
    from skeleton_lab.explain.results import mean_agreement, told_number

    options, explained = found.options, found.explained
    hidden = "its mean place in the clip" if options.baseline == "mean" else "the origin"
    agreement = told_number(mean_agreement(explained))
    said = [
        f"{options.input.name}: {found.count}, {options.weights.name}",
        f"A hidden joint stands at {hidden}. Rank correlation of the two methods: {agreement}.",
    ]
    made = page.html(explained, found.recordings, found.classes, options.fps, f"Explained: {found.title}", said,
                     found.notices, options.parts)  # fmt: skip
    write_atomically(folder / PAGE, lambda file: file.write(made))
    found.written.append(PAGE)
    if found.means:
        whose = f"mean of {found.count}" if len(explained) > 1 else explained[0].asked.name
        persons = sorted({person for each in explained for person in each.cells.persons})
        title = f"{found.title}, {whose}"
        pictures.heat(found.means, explained[0].cells.parts, persons, found.layout, title, folder / PICTURE)
        found.written.append(PICTURE)
    if found.checked:
        pictures.sanity(found.checked, f"{found.title}, {explained[0].asked.name}", folder / SANITY)
        found.written.append(SANITY)


def _tell(found: _Result) -> None:
    from skeleton_lab.explain.results import WORDS, best, told_number

    for each in found.explained:
        print(each.line(found.classes))
    if len(found.explained) > 1:
        for method, values in found.means.items():
            print(f"mean of {found.count}, {WORDS[method]}: {best(values, found.explained[0].cells.parts)}")
    for line in found.notices:
        print(line)
    for row in found.checked:
        alike = ", ".join(f"{words} {told_number(row[method])}" for method, words in WORDS.items())
        print(f"{100 * row['share']:.0f} % of the layers random: rank correlation with the trained map: {alike}")
    if not found.means:
        print(f"no {PICTURE}: the clips are explained for several classes; --target names one")
    print(f"written to {one_line(str(found.options.output))}: {', '.join(found.written)}")


def main(argv: Sequence[str] | None = None) -> int:
    """``skeleton-lab explain``; returns the exit code."""
    return guarded(lambda: run(_parser().parse_args(normalise.spelled(sys.argv[1:] if argv is None else argv))))
