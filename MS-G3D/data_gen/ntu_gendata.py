"""NTU RGB+D 60 recordings to MS-G3D's arrays.  ``cd data_gen && python3 ntu_gendata.py``"""

from pathlib import Path

from skeleton_lab.raw.commands import msg3d_ntu

if __name__ == "__main__":
    raise SystemExit(msg3d_ntu(Path(__file__).resolve().parents[1]))
