"""``python -m skeleton_lab.reporting.run_report WORK_DIR``"""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.errors import guarded
from skeleton_lab.reporting.run_report import write
from skeleton_lab.utils.cli import Parser


def main() -> None:
    parser = Parser("python -m skeleton_lab.reporting.run_report", description="Write the report of a run.")
    parser.add_argument("work_dir", type=Path, help="work dir of a run (training or evaluation)")
    print(write(parser.parse_args().work_dir))


if __name__ == "__main__":
    raise SystemExit(guarded(main))
