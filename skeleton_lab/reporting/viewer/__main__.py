"""``python -m skeleton_lab.reporting.viewer ARCHIVE``, and the program behind ``dataset_tools/view.py``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.data.archives.locate import default_archive
from skeleton_lab.data.archives.opening import SPLITS
from skeleton_lab.errors import LabError, UsageError, guarded, nearest
from skeleton_lab.reporting.viewer import page
from skeleton_lab.reporting.viewer.clip_source import Collection, Wish, chosen, opened, share
from skeleton_lab.reporting.viewer.clip_view import Shown, longest, show
from skeleton_lab.skeletons.schemes import SCORE
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.importing import optional
from skeleton_lab.utils.progress import clip_bar

ENDINGS = (".html", ".gif", ".mp4", ".png")
FPS = 30.0  # of a Kinect
FASTEST = 240.0
STRIP = 8  # frames of a contact sheet
SIDES = ((1, 420), (6, 300), (20, 220), (10**6, 150))  # pixels of a panel, up to so many panels


def _parser() -> Parser:
    made = Parser(description="Play clips of an archive of skeletons: a page, GIF, MP4, or a PNG of frames.")
    add = made.add_argument
    add("archive", nargs="?", type=Path, help="archive of any layout, .skeleton file, or folder or ZIP of them; "
        "default: where the documents put NTU60_CS.npz")  # fmt: skip
    add("--split", choices=SPLITS, help="default: test where there is one")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, nargs="+", metavar="ROW", help="rows of the split, from 0; default: 0")
    which.add_argument("--label", type=int, metavar="K", help="clips of this class, from 0")
    which.add_argument("--class", dest="class_name", metavar="NAME", help='clips of this class: "hand waving"')
    which.add_argument("--grid", "--sample-per-class", action="store_true", help="the first clip of every class")
    add("--count", type=int, default=1, metavar="N", help="with --label or --class: so many clips; default: 1")
    add("--compare", type=Path, metavar="ARCHIVE", help="the same rows of another archive beside them")
    add("--output", type=Path, metavar="FILE", help="the ending decides: .html, .gif, .mp4, or .png, a sheet of "
        "frames; default: view_<archive>.html in the working folder")  # fmt: skip
    add("--fps", type=float, default=FPS, help="frames per second; default: 30")
    add("--frames", type=int, metavar="T", help=f"so many frames of a clip, evenly spaced; default: all (at most 300), "
        f".png: {STRIP}")  # fmt: skip
    add("--size", type=int, metavar="PIXELS", help="side of a panel of .gif, .mp4, .png; default: by their number")
    add("--label-path", type=Path, metavar="FILE", help="labels of a .npy file or of a folder of Kinetics clips; "
        "default: the published name beside it")  # fmt: skip
    add("--score", type=float, default=SCORE, help="of key points in an image: those with a lower score are not drawn; "
        f"default: {SCORE:g}")  # fmt: skip
    add("--layout", help="where the content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--quiet", action="store_true", help="no progress bar")
    return made


def _checked(options: argparse.Namespace) -> str:
    """The ending of the output; raises ``UsageError`` for flags that cannot work, before anything is read."""
    ending = options.output.suffix.lower() if options.output else ".html"
    if ending not in ENDINGS:
        raise UsageError(
            f"--output {options.output}: the ending must be {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}."
            f"{nearest(ending, ENDINGS)}"
        )
    if options.output and options.output.is_dir():
        raise UsageError(f"--output {options.output} is a folder; give the name of a file in it")
    if not 0 < options.fps <= FASTEST:
        raise UsageError(f"--fps {options.fps:g} must be above 0 and at most {FASTEST:g}")
    if not 0 <= options.score < math.inf:
        raise UsageError(f"--score {options.score:g} must be 0 or more; the scores of most pose estimators end at 1")
    for flag, value, least in (
        ("--frames", options.frames, 1),
        ("--count", options.count, 1),
        ("--size", options.size, 40),
    ):
        if value is not None and not least <= value <= 10_000:
            raise UsageError(f"{flag} {value} must be from {least} to 10000")
    if ending != ".html":
        optional("PIL.Image", "Pillow", "report", f"{ending} output")
    if ending == ".mp4":
        from skeleton_lab.reporting.viewer.export import ffmpeg

        ffmpeg()
    return ending


def _clips(options: argparse.Namespace, frames: int | None) -> tuple[list[Shown], str, str]:
    """The clips in the order of the panels, a heading, and how many of those that there are they are."""
    path = options.archive or default_archive()
    found = opened(path, options.split, options.label_path, options.layout)
    wish = Wish(options.index or (), options.label, options.class_name, options.grid, options.count)
    rows = chosen(found, wish)
    told = share(found, wish, rows)
    if options.compare is None:
        return _shown([(found, row, "") for row in rows], frames, options), path.name, told
    other = opened(options.compare, options.split)
    _warn_of_other_clips(found, other, rows)
    parts = [(side, row, side.path.name) for row in rows for side in (found, other)]
    return _shown(parts, frames, options), f"{path.name} and {options.compare.name}", told


def _shown(parts: list[tuple[Collection, int, str]], frames: int | None, options: argparse.Namespace) -> list[Shown]:
    with clip_bar(len(parts), "reading", show=not options.quiet, delay=1) as bar:
        made = []
        for found, row, source in parts:
            made.append(show(found, row, frames, source, options.score))
            bar.update()
    return made


def _warn_of_other_clips(found: Collection, other: Collection, rows: Sequence[int]) -> None:
    for row in rows:
        if row < min(len(found.labels), len(other.labels)) and found.labels[row] != other.labels[row]:
            print(
                f"warning: row {row} is of class {found.labels[row]} in {found.path} and of class {other.labels[row]} "
                f"in {other.path}: the archives are in different orders", file=sys.stderr,
            )  # fmt: skip


def _write(options: argparse.Namespace, ending: str, path: Path) -> str:
    """Write the file; returns which part of the clips is in it."""
    frames = None if ending == ".png" else options.frames
    clips, heading, part = _clips(options, frames)
    across = 2 if options.compare else None
    if ending == ".html":
        told = f"{part}, {options.fps:g} frames per second"
        text = page.build(clips, heading, told, options.fps, across)
        write_atomically(path, lambda file: file.write(text.encode()))
        return part
    from skeleton_lab.reporting.viewer import export, raster

    side = options.size or next(side for most, side in SIDES if len(clips) <= most)
    if ending == ".png":
        side = options.size or min(side, 220)
        export.write_png(path, raster.contact_sheet(clips, side, options.frames or STRIP))
        return part
    sheet = raster.Sheet(clips, side, across)
    count = longest(clips)
    with clip_bar(count, f"drawing {path.name}", show=not options.quiet, delay=1) as bar:
        bar.unit = " frames"
        writer = export.write_gif if ending == ".gif" else export.write_mp4
        writer(path, sheet, count, options.fps, bar)
    return part


def run(options: argparse.Namespace) -> None:
    """Raises ``LabError`` for what the user can put right."""
    ending = _checked(options)
    name = (options.archive or Path("NTU60_CS.npz")).absolute().name.partition(".")[0]
    path = options.output or Path(f"view_{name}.html")
    try:
        part = _write(options, ending, path)
    except OSError as error:
        if isinstance(error, LabError):
            raise
        raise UsageError(f"--output {path} cannot be written: {error.strerror or error}") from error
    print(f"{path}  {path.stat().st_size / 1e6:.1f} MB, {part}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: run(_parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
