"""Test on seen and unseen classes, with the gate: ``python gating_eval.py --help``."""

from __future__ import annotations

from skeleton_lab.zero_shot.gating import gating_eval

if __name__ == "__main__":
    raise SystemExit(gating_eval())
