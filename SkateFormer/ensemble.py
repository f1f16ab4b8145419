"""An ensemble of SkateFormer's streams j, b, jm, bm, with the weights of CTR-GCN; SkateFormer publishes none.

python ensemble.py --dataset ntu/xsub --joint-dir work_dir/j --bone-dir work_dir/b

Two-person classes only (NTU-Inter): ``--labels work_dir/j/evaluation.npz``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import Recipe, main

RECIPE = Recipe()

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
