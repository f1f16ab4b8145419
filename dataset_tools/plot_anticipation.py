"""Accuracy against the observed share of the clip, of one or more runs."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.reporting.run_report.anticipation import main

if __name__ == "__main__":
    sys.exit(main())
