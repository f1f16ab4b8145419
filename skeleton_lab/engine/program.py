"""A room's program: from the command line to an exit code. Only what reads the command line is imported with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.engine.config import options as command_line
from skeleton_lab.engine.failures import explained
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import guarded
from skeleton_lab.utils import trust


def run(recipe: Recipe, main_file: str, argv: Sequence[str] | None = None) -> int:
    """Run a program and return its exit code.

    Args:
        recipe: the published program's habits.
        main_file: the room's main.py; dotted names of options resolve in its folder first.
        argv: arguments; None for those of the process.

    Returns:
        0 success; 2 a mistake of the user, a missing file, weights that do not fit, a full disk; 1 any other failure;
        128 + n after signal n (130 and 143 after SIGINT and SIGTERM).
    """
    room = Path(main_file).resolve().parent
    if str(room) not in sys.path:
        sys.path.insert(0, str(room))
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: explained(lambda: setup(recipe, arguments, room)))


def setup(recipe: Recipe, argv: list[str], room: Path) -> int:
    """Options, and whose code they may name; then the phase."""
    options = command_line.parse(recipe, argv, room)
    with trust.opened(room), trust.trusting(options.trust_code):
        from skeleton_lab.engine.phases import launch  # here: --help and mistakes need no PyTorch

        launch(options)
    return 0
