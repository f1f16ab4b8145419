"""Keys, shapes and types of an archive, without reading it; with --doctor, what is in it and what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.doctor.__main__ import main

if __name__ == "__main__":
    sys.exit(main(doctor=False))
