"""``skeleton-lab sweep`` whose runs are those of ``fake_trainer``, as a program of its own that can be killed."""

import sys
from pathlib import Path

from skeleton_lab.sweep import child, program


def command(words) -> list[str]:
    return [sys.executable, "-S", str(Path(__file__).with_name("fake_trainer.py")), *words]


if __name__ == "__main__":
    child.command = command
    raise SystemExit(program.main())
