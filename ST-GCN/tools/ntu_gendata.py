"""NTU RGB+D 60 recordings to ST-GCN's arrays.

python tools/ntu_gendata.py --data_path path/to/nturgb+d_skeletons
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where skeleton_lab is

from skeleton_lab.data.preprocessing.programs import stgcn_ntu

if __name__ == "__main__":
    raise SystemExit(stgcn_ntu(Path(__file__).resolve().parents[1]))
