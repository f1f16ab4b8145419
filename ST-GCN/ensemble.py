"""An ensemble of ST-GCN's streams with the weights of CTR-GCN; ST-GCN publishes none.

python ensemble.py --dataset ntu-xsub --joint-dir work_dir/joint --bone-dir work_dir/bone

A training writes no scores: test each stream with ``--phase test --weights ... --save_result True`` first.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import Recipe, main

RECIPE = Recipe(
    labels={
        "ntu-xsub": "data/NTU-RGB-D/xsub/val_label.pkl",
        "ntu-xview": "data/NTU-RGB-D/xview/val_label.pkl",
        "kinetics-skeleton": "data/Kinetics/kinetics-skeleton/val_label.pkl",
    }
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
