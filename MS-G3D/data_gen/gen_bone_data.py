"""Bone arrays beside the joint arrays.  ``cd data_gen && python gen_bone_data.py --dataset ntu``"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where skeleton_lab is

from skeleton_lab.data.preprocessing.programs import msg3d_bones

if __name__ == "__main__":
    raise SystemExit(msg3d_bones(Path(__file__).resolve().parents[1]))
