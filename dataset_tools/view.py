"""Clips of an archive, or of raw recordings, to look at: a page that plays them, GIF, MP4, or a PNG of frames."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.reporting.viewer.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
