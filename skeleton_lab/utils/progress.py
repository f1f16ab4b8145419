"""Progress bars for long work on files."""

from __future__ import annotations

import sys

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
