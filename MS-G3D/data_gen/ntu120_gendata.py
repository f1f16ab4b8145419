"""NTU RGB+D 120 recordings to MS-G3D's arrays.  ``cd data_gen && python3 ntu120_gendata.py``"""

from pathlib import Path

from skeleton_lab.raw.commands import msg3d_ntu120

if __name__ == "__main__":
    raise SystemExit(msg3d_ntu120(Path(__file__).resolve().parents[1]))
