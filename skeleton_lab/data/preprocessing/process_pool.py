"""Recordings through a pipeline into a spool, in several processes, in bounded memory."""

from __future__ import annotations

import collections
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.data.preprocessing.spool import CHUNK, Converted, Spool, has_part, write_part
from skeleton_lab.errors import LabError, UsageError, one_line
from skeleton_lab.utils.progress import clip_bar

AHEAD = 2  # chunks in flight per worker


class Conversion(Protocol):
    """What a pipeline does to one recording, in a worker: picklable."""

    def __call__(self, source: Source) -> Converted:
        """Raises LabError for a recording that cannot be used; it is skipped then."""


def convert(sources: Sequence[Source], conversion: Conversion, folder: Path, workers: int, show: bool = True) -> Spool:
    """Fill the spool ``folder``; parts that an earlier start left are kept.

    Raises:
        UsageError: the disk is full or cannot be written. LabError: a worker was killed.
    """
    parts = range(-(-len(sources) // CHUNK))
    todo = [part for part in parts if not has_part(folder, part)]
    chunks = [(part, sources[part * CHUNK : (part + 1) * CHUNK]) for part in todo]
    with clip_bar(len(sources), "reading recordings", show=show, leave=True) as bar:
        bar.update(len(sources) - sum(len(chunk) for _, chunk in chunks))
        try:
            if workers == 1 or len(chunks) <= 1:
                for part, chunk in chunks:
                    bar.update(_chunk(folder, part, chunk, conversion))
            else:
                for count in _parallel(folder, chunks, conversion, min(workers, len(chunks))):
                    bar.update(count)
        except OSError as error:
            raise UsageError(f"cannot write {folder}: {error.strerror or error}") from error
        except BrokenProcessPool as error:
            raise LabError(
                "a worker was killed (out of memory?): start the same command again, it goes on where it stopped;"
                " --n_cores 1 needs the least memory"
            ) from error
    return Spool(folder, len(parts))


def _chunk(folder: Path, part: int, chunk: Sequence[Source], conversion: Conversion) -> int:
    results: list[tuple[str, Converted | str]] = []
    for source in chunk:
        try:
            results.append((source.name, conversion(source)))
        except LabError as error:
            results.append((source.name, one_line(error)))
    write_part(folder, part, results)
    return len(chunk)


def _parallel(folder: Path, chunks: list, conversion: Conversion, workers: int) -> Iterator[int]:
    """Sizes of the chunks as they get done; at most ``AHEAD`` per worker are under way."""
    waiting: collections.deque[Future] = collections.deque()
    with _one_thread_each():
        # Spawned, not forked: whoever calls may have threads, and a fork would copy their locks.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
        try:
            for part, chunk in chunks:
                waiting.append(pool.submit(_chunk, folder, part, chunk, conversion))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside use one thread of linear algebra each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    """In a worker: Ctrl-C is the parent's business, and without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
