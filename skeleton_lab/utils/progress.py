"""Progress bars for long work on files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from tqdm import tqdm

from skeleton_lab.errors import one_line


def clip_bar(
    total: int, title: str, *, show: bool = True, leave: bool = False, delay: float = 0, unit: str = " clips"
) -> tqdm:
    """A bar on stderr that counts clips, or another ``unit``; where stderr is no terminal, a line every half minute.

    ``delay``: seconds before it appears at all, where the work may be refused or done by then.
    """
    pause = 0.1 if sys.stderr.isatty() else 30.0
    title = one_line(title)
    return tqdm(total=total, desc=title, unit=unit, disable=not show, leave=leave, mininterval=pause, delay=delay)


@contextlib.contextmanager
def step_bar(total: int, title: str) -> Iterator[Callable[[str], None]]:
    """A bar of a few long steps, whose names its function is told as they begin."""
    terminal, count = sys.stderr.isatty(), 0
    with clip_bar(total, title, delay=0 if terminal else 1, unit=" steps") as bar:

        def begin(step: str) -> None:
            nonlocal count
            bar.set_postfix_str(one_line(step), refresh=False)
            bar.update(1 if count else 0)
            count += 1
            if terminal:
                bar.refresh()

        yield begin
