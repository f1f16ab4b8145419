"""Append the figures of an experiment to a file in log/: ``python log.py --help``."""

from __future__ import annotations

from skeleton_lab.zero_shot.programs import log

if __name__ == "__main__":
    raise SystemExit(log())
