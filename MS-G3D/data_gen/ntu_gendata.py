"""NTU RGB+D 60 recordings to MS-G3D's arrays.  ``cd data_gen && python3 ntu_gendata.py``"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where skeleton_lab is

from skeleton_lab.data.preprocessing.programs import msg3d_ntu

if __name__ == "__main__":
    raise SystemExit(msg3d_ntu(Path(__file__).resolve().parents[1]))
