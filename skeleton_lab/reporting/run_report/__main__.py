"""``python -m skeleton_lab.reporting.run_report WORK_DIR``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import guarded
from skeleton_lab.reporting.run_report import write
from skeleton_lab.utils.cli import Parser


def _write(argv: Sequence[str] | None) -> None:
    parser = Parser(description="Write the report of a run.")
    parser.add_argument("work_dir", type=Path, help="work dir of a run (training or evaluation)")
    print(write(parser.parse_args(argv).work_dir))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return guarded(lambda: _write(argv))


if __name__ == "__main__":
    raise SystemExit(main())
