"""Kinetics-skeleton JSON to ST-GCN's arrays.

python tools/kinetics_gendata.py --data_path path/to/kinetics-skeleton
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where skeleton_lab is

from skeleton_lab.data.preprocessing.programs import stgcn_kinetics

if __name__ == "__main__":
    raise SystemExit(stgcn_kinetics(Path(__file__).resolve().parents[1]))
