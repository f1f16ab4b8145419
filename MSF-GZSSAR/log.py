"""Append the figures of an experiment to a file in log/: ``python log.py --help``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.zero_shot.align.program import log

if __name__ == "__main__":
    raise SystemExit(log())
