"""The published ensemble of DeGCN: joint, bone, joint-bone fusion and joint motion with weights 1, 1.5, 2 and 1.

python ensemble.py --dataset ntu/xsub --joint-dir work_dir/joint --bone-dir work_dir/bone --jbf-dir work_dir/jbf \\
    --joint-motion-dir work_dir/joint_motion
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import Recipe, main

STREAM_WEIGHTS = {"joint": 1.0, "bone": 1.5, "jbf": 2.0, "joint-motion": 1.0}
RECIPE = Recipe(streams=tuple(STREAM_WEIGHTS), stream_weights=STREAM_WEIGHTS)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
