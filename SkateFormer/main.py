"""SkateFormer: python main.py --config config/train/ntu_cs/SkateFormer_j.yaml --work-dir work_dir/skateformer_joint"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from recipe import RECIPE

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run(RECIPE, __file__))
