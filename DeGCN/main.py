"""DeGCN: python main.py --config config/nturgbd-cross-subject/default.yaml --work-dir work_dir/degcn ..."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from recipe import RECIPE

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run(RECIPE, __file__))
