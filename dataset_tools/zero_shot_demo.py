"""The whole zero-shot chain on a synthetic archive; what was done before is not done again."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.zero_shot.demo import main

if __name__ == "__main__":
    sys.exit(main())
