"""What a run says: log lines on the screen and in log.txt, metrics.jsonl, TensorBoard, a progress bar."""

from __future__ import annotations

import json
import logging
import math
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from tqdm import tqdm

from skeleton_lab.errors import printable
from skeleton_lab.utils import json_lines
from skeleton_lab.utils.atomic import write_atomically


class Log:
    """Stamped lines. They are kept back until ``open`` names the file, so a run that fails early leaves no file.

    Args:
        stamp: ``time.strftime`` format in front of every line.
        screen, file: where lines go; a process that is not the first gives False for both.
    """

    def __init__(self, stamp: str, *, screen: bool = True, file: bool = True) -> None:
        self.stamp, self.screen, self.file = stamp, screen, file
        self._path: Path | None = None
        self._waiting: list[str] = []

    def open(self, path: Path) -> None:
        self._path = path
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            self._append(line)

    def __call__(self, text: str, *, file: bool = True, stamp: bool = True) -> None:
        line = (time.strftime(self.stamp) if stamp else "") + printable(text)
        if self.screen:
            with tqdm.external_write_mode(file=sys.stdout):
                print(encodable(line), flush=True)
        if file and self.file:
            if self._path is None:
                self._waiting.append(line)
            else:
                self._append(line)

    def _append(self, line: str) -> None:
        with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")


def encodable(line: str) -> str:
    """What the screen's encoding lacks, as an escape."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)


class Relay(logging.Handler):
    """Notices of the library (``logging.getLogger("skeleton_lab")``) become log lines while a run lasts, each once."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self.log = log
        self.told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.told:  # the training and the test feeder notice the same
            self.told.add(text)
            self.log(text)

    def __enter__(self) -> Relay:
        logger = logging.getLogger("skeleton_lab")
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("skeleton_lab")
        logger.removeHandler(self)
        logger.setLevel(self._level)


class Metrics:
    """metrics.jsonl: one JSON object a line, key ``event``; numbers that are not finite become null."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def __call__(self, event: str, **values: Any) -> None:
        if self.path is None:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(_plain({"event": event, **values})) + "\n")

    def rewind(self, epochs: int) -> None:
        """Resuming: drop what was written about epochs behind the ``epochs`` finished ones."""
        if self.path is None or not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                event = json_lines.parsed(line)
            except ValueError:  # cut off by the crash
                continue
            if not isinstance(event, dict) or not isinstance(event.get("epoch", 0), int):
                continue
            if event.get("event") != "result" and event.get("epoch", 0) <= epochs:
                kept.append(line)
        text = "".join(line + "\n" for line in kept)
        write_atomically(self.path, lambda file: file.write(text.encode()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


class Summaries:
    """The curves of a run, ``train`` and ``val``: TensorBoard's files below ``folder`` and what ``trackers`` make of
    them. Silently no TensorBoard without the package.
    """

    def __init__(self, folder: Path | None, trackers: Any = None) -> None:
        self.writers: dict[str, Any] = {}
        self.trackers = trackers
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        threading.excepthook = _thread_failed
        self.writers = {name: SummaryWriter(str(folder / name)) for name in ("train", "val")}

    def add(self, writer: str, step: int, **values: float) -> None:
        if self.trackers is not None:
            self.trackers.tell("add", step, {f"{writer}/{tag}": value for tag, value in values.items()})
        if writer in self.writers:
            for tag, value in values.items():
                self.writers[writer].add_scalar(tag, value, step)

    def flush(self) -> None:
        """After an epoch: what trackers hold back is sent."""
        if self.trackers is not None:
            self.trackers.tell("flush")

    def result(self, results: dict[str, Any]) -> None:
        """What the run came to: ``best``, ``last`` and the like, each a dictionary."""
        if self.trackers is not None:
            self.trackers.tell("result", dict(_flat(results)))

    def close(self) -> None:
        """The second time it does nothing."""
        try:
            for writer in self.writers.values():
                writer.close()
        finally:
            threading.excepthook = threading.__excepthook__
            if self.trackers is not None:
                self.trackers.tell("close")
                self.trackers = None


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """``best/top1`` and its value, of dictionaries in one another."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}/")
        elif value is not None:
            yield before + name, value


def _thread_failed(failure: Any) -> None:
    """Instead of a traceback: TensorBoard's threads hand a full disk on to whoever adds the next value."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


class Progress:
    """Rate, time left of the run, loss and memory on stderr: a bar on a terminal, else a plain line every 30 s.

    ``value`` of ``advance`` is asked for only when something is shown: reading a loss waits for the GPU.

    Args:
        after: the seconds that the run will need behind these batches, of the seconds that one batch takes here.
    """

    every = 30.0
    form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"  # tqdm's, without the epoch's own end

    def __init__(
        self,
        title: str,
        total: int,
        start: int,
        device: torch.device,
        show: bool,
        after: Callable[[float], float] = lambda seconds: 0.0,
    ) -> None:
        self.title, self.total, self.done, self.device = title, total, start, device
        self.start, self.begun = start, time.monotonic()
        self.shown, self.after = self.begun, after
        self.bar = None
        self.quiet = not show
        if show and sys.stderr.isatty():
            self.bar = tqdm(
                total=total, initial=start, desc=title, dynamic_ncols=True, leave=False, file=sys.stderr,
                bar_format=self.form,
            )  # fmt: skip

    def seconds_each(self) -> float:
        """Per batch, so far."""
        return (time.monotonic() - self.begun) / max(self.done - self.start, 1)

    def left(self) -> float:
        """Seconds until the end of the run."""
        each = self.seconds_each()
        return (self.total - self.done) * each + self.after(each)

    def advance(self, value: Any = None) -> None:
        """One batch done; ``value() -> float`` gives the loss."""
        self.done += 1
        if self.quiet:
            return
        now = time.monotonic()
        due = now - self.shown >= (1.0 if self.bar is not None else self.every)
        left = f"{duration(self.left())} left of the run, " if due else ""
        if self.bar is not None:
            if due:
                self.bar.set_postfix_str(left + self._state(value), refresh=False)
            self.bar.update(1)
        elif due:
            line = f"{self.title}: {self.done}/{self.total}, {1 / max(self.seconds_each(), 1e-9):.2f} batches/s, {left}"
            print(line + self._state(value), file=sys.stderr, flush=True)
        if due:
            self.shown = now

    def _state(self, value: Any) -> str:
        parts = [f"loss {value():.4f}"] if value is not None else []
        parts.append(f"RAM {psutil.Process().memory_info().rss / 2**30:.2f} GiB")
        if self.device.type == "cuda":
            parts.append(f"GPU {torch.cuda.max_memory_allocated(self.device) / 2**30:.2f} GiB")
        return ", ".join(parts)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Most memory used so far in MiB: resident (this process), and on the GPU."""
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    gpu = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {"peak_rss_mb": round(rss, 1), "peak_gpu_mb": None if gpu is None else round(gpu, 1)}
