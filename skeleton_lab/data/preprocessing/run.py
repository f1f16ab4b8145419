"""One run of a raw pipeline: find the recordings, convert them into a spool, write the files, say what was skipped."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skeleton_lab.data.preprocessing.pipelines import CtrGcn, Pipeline, Tick
from skeleton_lab.data.preprocessing.process_pool import Conversion, convert
from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.data.preprocessing.side_files import write_denoising, write_reading
from skeleton_lab.data.preprocessing.spool import Spool, digest, locked, prepare_folder
from skeleton_lab.errors import ArchiveError, LabError, UsageError
from skeleton_lab.utils import cpus
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.progress import clip_bar

SHOWN = 20  # skipped recordings on the screen; all of them stand in a file


@dataclass(frozen=True)
class Options:
    """How to work; nothing here changes the result.

    on_error: "skip" leaves recordings that cannot be used out, "raise" stops before the files are written.
    overwrite: throw a half-finished run over other recordings or with other options away.
    """

    workers: int = field(default_factory=lambda: cpus.available().count)
    on_error: str = "skip"
    overwrite: bool = False
    show: bool = True

    def say(self, text: str) -> None:
        if self.show:
            print(text, flush=True)


class Run:
    """One conversion of ``sources`` in ``out``; its spool is ``out/.raw-{title}``."""

    def __init__(self, sources: Sequence[Source], out: Path, title: str, conversion: Conversion, options: Options):
        self.sources, self.out, self.title = sources, out, title
        self.conversion, self.options = conversion, options
        self.folder = out / f".raw-{title}"

    @contextmanager
    def spooled(self, needed: int) -> Iterator[Spool]:
        """The spool of all recordings; ``needed`` is how many bytes the files will have.

        Raises:
            UsageError: no room, or another run's spool. LabError: another process is at work, a worker was killed.
        """
        manifest = {"conversion": {"kind": self.title, **asdict(self.conversion)}, "recordings": digest(self.sources)}
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.out).free
            if needed > free:
                raise UsageError(f"{self.out} needs up to {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there")
            with locked(self.folder):
                prepare_folder(self.folder, manifest, self.options.overwrite)
                yield convert(self.sources, self.conversion, self.folder, self.options.workers, self.options.show)
        except LabError:
            raise
        except OSError as error:
            raise UsageError(f"cannot write in {self.out}: {error.strerror or error}") from error

    def report(self, spool: Spool) -> None:
        """Say what was skipped and what was odd; keep the list in ``skipped-{title}.txt``.

        Raises:
            ArchiveError: nothing is left, or something was skipped and ``on_error`` is "raise".
        """
        for name, warning in spool.warned[:SHOWN]:
            print(f"warning: {name}: {warning}", file=sys.stderr)
        if len(spool.warned) > SHOWN:
            print(f"warning: and {len(spool.warned) - SHOWN} more of the kind", file=sys.stderr)
        listing = self.out / f"skipped-{self.title}.txt"
        if not spool.skipped:
            listing.unlink(missing_ok=True)
            return
        text = "".join(f"{name}\t{why}\n" for name, why in spool.skipped)
        write_atomically(listing, lambda file: file.write(text.encode()))
        count = f"{len(spool.skipped)} of {len(self.sources)} recordings cannot be used"
        if not len(spool) or self.options.on_error == "raise":
            raise ArchiveError(f"{count} ({listing} has all), the first: {spool.skipped[0][1]}")
        for name, why in spool.skipped[:SHOWN]:
            print(f"skipped {name}: {why}", file=sys.stderr)
        print(f"warning: {count} and were left out; {listing} has all", file=sys.stderr)

    @contextmanager
    def writing(self, total: int) -> Iterator[Tick]:
        """A bar over ``total`` clips, moved by the iterators that go through it."""
        with clip_bar(total, "writing clips", show=self.options.show, leave=True) as bar:

            def tick(items: Iterable[Any]) -> Iterator[Any]:
                for item in items:
                    yield item
                    bar.update()

            yield tick

    def finished(self, spool: Spool) -> None:
        """The files are complete: the spool goes."""
        spool.remove()


STAGES = ("read", "denoise", "write")


def convert_ntu(
    sources: Sequence[Source],
    out: Path,
    pipeline: Pipeline,
    options: Options,
    stages: Iterable[str] = ("write",),
) -> list[Path]:
    """Run ``pipeline`` over the recordings; returns the files.

    ``stages``: "write" for the files that feeders read; of ``CtrGcn`` also "read" and "denoise", the side files.
    Without "write" the spool stays, and a later call goes on from there.

    Raises:
        LabError: no room, another run's spool, or (``on_error`` "raise") recordings that cannot be used.
    """
    stages, sources = set(stages), pipeline.arranged(sources)
    run = Run(sources, out, f"{pipeline.key}-{pipeline.dataset}", pipeline, options)
    paths: list[Path] = []
    with run.spooled(pipeline.bytes(len(sources)) if "write" in stages else 0) as spool:
        run.report(spool)
        if isinstance(pipeline, CtrGcn) and "read" in stages:
            paths += write_reading(spool, out)
        if isinstance(pipeline, CtrGcn) and "denoise" in stages:
            with run.writing(len(spool) * (2 if pipeline.colors else 1)) as tick:
                paths += write_denoising(spool, out, tick)
        if "write" in stages:
            with run.writing(pipeline.written(len(spool))) as tick:
                paths += pipeline.write(spool, sources, out, tick)
            run.finished(spool)
    return paths
