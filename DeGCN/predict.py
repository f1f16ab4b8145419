"""DeGCN on recordings of your own.

python predict.py --config config/nturgbd-cross-subject/default.yaml --weights W.pt --input keypoints.json
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from recipe import RECIPE

from skeleton_lab.inference import run

if __name__ == "__main__":
    raise SystemExit(run(RECIPE, __file__))
