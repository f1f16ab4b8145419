"""What is going on, for people: a few lines of a terminal that change in place, or a line for each change."""

from __future__ import annotations

import shutil
import textwrap
import threading
import time
from collections.abc import Sequence
from typing import Any, TextIO

from skeleton_lab.errors import one_line
from skeleton_lab.live.figures import Figures

EVERY = 0.2  # seconds between two pictures: more often nobody reads
BAR = 20  # characters
ROWS = 8  # people


class View:
    """The label of each person with a bar of its probability, then the next classes; below them how fast it goes.

    Where ``stream`` is no terminal, a label is told when it changes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._lines: dict[int | str, dict[str, Any]] = {}
        self._drawn: list[str] = []
        self._at = 0.0
        self._pen = threading.Lock()  # whoever reads the frames has a thread of its own, and notices
        self._rate = (0.0, 0)

    def label(self, line: dict[str, Any]) -> None:
        """Of a person, as ``Session`` says it."""
        before = self._lines.get(line["person"])
        if line["p"] is None:
            self._lines.pop(line["person"], None)
        else:
            self._lines[line["person"]] = line
        if not self._terminal and (before is None or before["label"] != line["label"] or line["p"] is None):
            words = "gone" if line["p"] is None else f"{line['label'] or 'nothing'} ({line['p']:.2f})"
            print(f"{line['time']:9.2f} s  person {line['person']}: {one_line(words)}", file=self._stream, flush=True)

    def say(self, line: str) -> None:
        """A notice, above the people: it stays."""
        if self._terminal:
            self._draw(None, [one_line(line)])
        else:
            print(one_line(line), file=self._stream, flush=True)

    def tick(self, figures: Figures) -> None:
        now = time.monotonic()
        if not self._terminal or now - self._at < EVERY:
            return
        then, frames = self._rate
        rate = (figures.frames - frames) / (now - then) if then else 0.0
        if now - then > 2:
            self._rate = (now, figures.frames)
        self._at = now
        self._draw([*self._people(), self._speed(figures, rate)])

    def _people(self) -> list[str]:
        lines = list(self._lines.values())
        made = [self._person(line) for line in lines[:ROWS]]
        if len(lines) > ROWS:
            made.append(f"and {len(lines) - ROWS} more")
        return made or ["nobody yet"]

    @staticmethod
    def _person(line: dict[str, Any]) -> str:
        full = round(BAR * line["p"])
        others = [each for each in line["top5"] if each["name"] != line["label"]][:3]
        rest = ", ".join(f"{one_line(each['name'])} {each['probability']:.2f}" for each in others)
        label = one_line(line["label"] or "(nothing)")
        bar = "#" * full + "." * (BAR - full)
        return f"person {line['person']!s:4} [{bar}] {line['p']:.2f} {label}; {rest}"

    def _speed(self, figures: Figures, rate: float) -> str:
        delays = figures.per_label
        return (
            f"{rate:.0f} frames/s, {figures.missing} missing; labels take {1e3 * delays.quantile(0.5):.0f} ms (p50), "
            f"{1e3 * delays.quantile(0.99):.0f} (p99), {figures.skipped} left out"
        )

    def _draw(self, lines: Sequence[str] | None, notices: Sequence[str] = ()) -> None:
        """Over what was drawn before; None: the same again, below the notices.

        Moves of the cursor are written alone: in a text they would be escaped.
        """
        width = shutil.get_terminal_size().columns - 1
        above = [part for notice in notices for part in textwrap.wrap(notice, width)]
        with self._pen:
            for _ in self._drawn:
                self._stream.write("\x1b[A")
            lines = self._drawn if lines is None else lines
            below = [*lines, *[""] * (len(self._drawn) - len(above) - len(lines))]
            for line in (*above, *below):
                self._stream.write(f"\r{line[:width]:{width}}\n")
            self._stream.flush()
            self._drawn = below
