"""CTR-GCN for 10 plain epochs, with test accuracy.  For the published recipe use CTR-GCN's own main.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from plain_loop import FULL

from skeleton_lab.baselines.recipe import program

if __name__ == "__main__":
    program(FULL)
