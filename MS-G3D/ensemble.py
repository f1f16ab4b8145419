"""The published ensemble of MS-G3D: joint and bone with weights 1 and alpha.

python ensemble.py --dataset ntu/xsub --joint-dir work_dir/joint --bone-dir work_dir/bone

A training writes no scores: test each stream with ``--phase test --weights ... --save-score True`` first.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import Recipe, main

DATASETS = ("kinetics", "ntu/xsub", "ntu/xview", "ntu120/xsub", "ntu120/xset")
RECIPE = Recipe(
    labels={dataset: f"data/{dataset}/val_label.pkl" for dataset in DATASETS},
    streams=("joint", "bone"),
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
