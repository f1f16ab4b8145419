"""CTR-GCN for 10 plain epochs, with test accuracy.  For the published recipe use CTR-GCN's own main.py."""

from __future__ import annotations

from skeleton_lab.baselines.ctrgcn import FULL
from skeleton_lab.baselines.training import program

if __name__ == "__main__":
    program(FULL)
