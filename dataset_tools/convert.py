"""Any layout to any other: Kaggle NPZ, 5-D NPZ, HDF5, NPY and PKL, PYSKL pickle, NW-UCLA and Kinetics JSON."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.data.archives.convert import main

if __name__ == "__main__":
    sys.exit(main())
