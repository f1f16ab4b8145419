"""Writes an archive in the 5-D layout, x (N, 3, T, 25, 2) and integer labels. Every room reads either layout."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.data.archives.convert import to_five

if __name__ == "__main__":
    sys.exit(to_five(None, __doc__ or ""))
