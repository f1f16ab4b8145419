"""Train the gate between seen and unseen classes: ``python gating_train.py --help``."""

from __future__ import annotations

from skeleton_lab.zero_shot.gating import gating_train

if __name__ == "__main__":
    raise SystemExit(gating_train())
