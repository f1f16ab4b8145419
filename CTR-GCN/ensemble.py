"""The published ensemble of CTR-GCN: two streams with weights 1 and alpha, three or four with 0.6, 0.6, 0.4, 0.4.

python ensemble.py --dataset ntu/xsub --joint-dir work_dir/joint --bone-dir work_dir/bone
"""

from __future__ import annotations

from skeleton_lab.ensemble import Recipe, main

RECIPE = Recipe(
    labels={
        "ntu/xsub": "data/ntu/NTU60_CS.npz",
        "ntu/xview": "data/ntu/NTU60_CV.npz",
        "ntu120/xsub": "data/ntu120/NTU120_CSub.npz",
        "ntu120/xset": "data/ntu120/NTU120_CSet.npz",
        "NW-UCLA": "data/NW-UCLA/val_label.pkl",
    }
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
