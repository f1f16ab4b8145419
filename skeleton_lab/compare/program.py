"""``skeleton-lab compare WORK_DIR ...``: finished runs beside each other."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Container, Sequence
from pathlib import Path

from skeleton_lab.compare import files, finding, fusions, page
from skeleton_lab.compare.comparison import Comparison, compare
from skeleton_lab.compare.figures import Group, shown
from skeleton_lab.compare.finding import Place
from skeleton_lab.errors import UsageError, guarded, one_line
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.progress import clip_bar
from skeleton_lab.utils.results import check_folder

OUTPUT = "comparison"  # the folder


def parser() -> Parser:
    made = Parser(
        prog="compare",
        description="Finished runs beside each other, on the same test clips: comparison.html, .csv, .json, pictures.",
    )
    add = made.add_argument
    add("runs", nargs="+", metavar="WORK_DIR", help="work dirs, patterns of them in quotes, or folders of a study")
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help=f"where the results go [{OUTPUT} here; of one study {OUTPUT} in its folder]",
    )
    add("--common", action="store_true", help="compare the clips that all runs were tested on, where they differ")
    add(
        "--pair",
        nargs=2,
        metavar=("RUN", "RUN"),
        help="two runs, by the names in the table, whose classes are compared [the best of the best two]",
    )
    add(
        "--archive",
        type=Path,
        metavar="FILE",
        help="archive of the test clips: accuracy by their length, of runs that did not keep it",
    )
    add("--flops", action="store_true", help="count the FLOPs of each network (it is built: seconds each)")
    return made  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return guarded(lambda: program(parser().parse_args(argv)))


def program(flags: Namespace) -> None:
    """Raises ``LabError`` for what the user can put right."""
    folder = flags.output or _output(flags.runs)
    check_folder(folder)
    places, notices = finding.find(flags.runs)
    archives = _archives(places) if len(flags.runs) == 1 and not flags.common else {}
    if len(archives) < 2:
        return _write(flags, places, folder, notices)
    refused = []
    asked = {word: mine for word, mine in archives.items() if {*(flags.pair or ())} <= {place.name for place in mine}}
    for word, mine in (asked or archives).items():
        try:
            _write(flags, mine, Path(f"{folder}-{word}"), notices, {place.group for place in mine})
        except UsageError as error:
            refused.append(f"{word}: {error}")
    if refused:
        raise UsageError("; ".join(refused))


def _archives(places: Sequence[Place]) -> dict[str, list[Place]]:
    """The runs of a study by its words for the archives, whose test clips differ; none where it has one archive."""
    found: dict[str, list[Place]] = {}
    for place in places:
        if place.archive:
            found.setdefault(place.archive, []).append(place)
    return found


def _write(
    flags: Namespace,
    places: Sequence[Place],
    folder: Path,
    notices: Sequence[str],
    groups: Container[str] | None = None,
) -> None:
    """The files and the page of runs on the same clips, into the folder; ``groups``: whose fusions belong there."""
    found = compare(places, common=flags.common, pair=flags.pair and tuple(flags.pair), archive=flags.archive)
    found.fusions, lacking = fusions.read([Path(word) for word in flags.runs], groups)
    found.notices = [*notices, *found.notices, *lacking]
    if flags.flops:
        count_flops(found)
    files.write(found, folder)
    _write_page(found, folder / finding.RESULT)
    _draw(found, folder)
    print("\n".join(table(found)))
    print(folder / finding.RESULT)


def _output(words: Sequence[str]) -> Path:
    alone = Path(words[0])
    return alone / OUTPUT if len(words) == 1 and (alone / finding.STUDY).is_file() else Path(OUTPUT)


def _write_page(found: Comparison, path: Path) -> None:
    text = page.build(found)
    try:
        write_atomically(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None


def _draw(found: Comparison, folder: Path) -> None:
    try:
        from skeleton_lab.compare import pictures
    except ImportError:
        logging.getLogger("skeleton_lab").warning(
            "matplotlib is not installed: no pictures are drawn (pip install 'skeleton-lab[report]')"
        )
        return
    pictures.draw(found, folder)


def count_flops(found: Comparison) -> None:
    """Of the networks of all groups, by the settings of their first run; what cannot be counted is a notice."""
    from skeleton_lab.cost.flags import parser as cost_flags
    from skeleton_lab.cost.program import measured, prepared
    from skeleton_lab.registry import find

    with clip_bar(len(found.groups), "Counting FLOPs", delay=1, unit=" networks") as bar:
        for group in found.groups:
            first = group.first.result
            config = first.place.folder / "config.yaml"
            try:
                words = ["--room", first.room, "--config", str(config)]
                _, network, samples = prepared(find(first.room), cost_flags().parse_args(words))
                flops = measured(network, samples(2), "32").flops_forward
            except Exception as error:  # networks of a user's own fail in ways of their own
                found.notices.append(f"{group.name}: FLOPs were not counted: {one_line(error)[:300]}")
            else:
                for row in group.rows:
                    row.flops = flops
            bar.update()


def table(found: Comparison) -> list[str]:
    """The groups as lines for the terminal; % of the test clips."""
    width = max(len(group.name) for group in found.groups)
    lines = [*found.notices, f"{'':{width}}  seeds  best epoch      last epoch      macro accuracy  published"]
    for group in found.groups:
        published = found.beside(group)
        told = f"{100 * published.top1:.1f}" if published else "–"
        lines.append(
            f"{group.name:{width}}  {len(group.rows):5}  {_mean(group, 'best'):14}  {_mean(group, 'last'):14}  "
            f"{shown(group.over_seeds(lambda row: row.macro)):14}  {told}"
        )
    lines += [
        f"{each.name}, {' + '.join(each.streams)}: {shown(each.fixed)} with fixed weights, "
        f"{shown(each.fitted)} with weights fitted to the test labels"
        for each in found.fusions
    ]
    lines += [f"{each.name}: not finished, not compared" for each in found.unfinished]
    return lines


def _mean(group: Group, which: str) -> str:
    """``91.20 ± 0.15`` over the seeds, or of one run with its interval: ``91.20 (90.7–91.6)``."""
    if len(group.rows) > 1:
        return shown(group.over_seeds(lambda row: getattr(row, which) and getattr(row, which).value))
    share = getattr(group.first, which)
    if share is None:
        return "–"
    low, high = share.interval
    return f"{100 * share.value:.2f} ({100 * low:.1f}–{100 * high:.1f})"
