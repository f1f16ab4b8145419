"""The published ensemble of CTR-GCN: two streams with weights 1 and alpha, three or four with 0.6, 0.6, 0.4, 0.4.

python ensemble.py --dataset ntu/xsub --joint-dir work_dir/joint --bone-dir work_dir/bone
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import Recipe, main

RECIPE = Recipe()

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
