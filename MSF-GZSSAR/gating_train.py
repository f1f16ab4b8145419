"""Train the gate between seen and unseen classes: ``python gating_train.py --help``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.zero_shot.gate.program import gating_train

if __name__ == "__main__":
    raise SystemExit(gating_train())
