"""Accuracy against the observed share of the clip, of one or more runs; see skeleton_lab/report/anticipation.py."""

import sys

from skeleton_lab.report.anticipation import main

if __name__ == "__main__":
    sys.exit(main())
