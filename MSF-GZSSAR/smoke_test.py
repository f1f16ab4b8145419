"""One forward and backward pass of MSF-GZSSAR on random input: ``python smoke_test.py --device cpu``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.zero_shot.smoke import smoke_test

if __name__ == "__main__":
    raise SystemExit(smoke_test("msf"))
