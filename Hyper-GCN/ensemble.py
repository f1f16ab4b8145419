"""The published ensemble of Hyper-GCN: two or three streams as CTR-GCN's, four with weights of their own.

python ensemble.py --dataset ntu/xsub --model base --joint-dir work_dir/joint --bone-dir work_dir/bone \\
    --joint-motion-dir work_dir/joint_motion --bone-motion-dir work_dir/bone_motion
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import Recipe, main

RECIPE = Recipe(
    tables={  # joint, bone, joint motion, bone motion
        "base": {
            "ntu/xsub": (1, 1.4, 1.1, 0.3),
            "ntu/xview": (1, 1.4, 1.1, 0.6),
            "ntu120/xsub": (1, 1.5, 0.7, 0.3),
            "ntu120/xset": (1, 1.5, 0.7, 0.3),
        },
        "large": {
            "ntu/xsub": (1, 1.4, 1, 0.5),
            "ntu/xview": (1, 1.4, 1, 0.5),
            "ntu120/xsub": (1, 1.5, 0.7, 0.3),
            "ntu120/xset": (1, 1.5, 0.6, 0.6),
        },
    },
    digits=2,
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
