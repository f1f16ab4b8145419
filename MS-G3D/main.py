"""MS-G3D.

python main.py --config config/nturgbd-cross-subject/train_joint_kaggle.yaml --work-dir work_dir/msg3d_joint
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from recipe import RECIPE

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run(RECIPE, __file__))
