"""Kinetics-skeleton JSON to MS-G3D's arrays.  ``cd data_gen && python3 kinetics_gendata.py``"""

from pathlib import Path

from skeleton_lab.raw.commands import msg3d_kinetics

if __name__ == "__main__":
    raise SystemExit(msg3d_kinetics(Path(__file__).resolve().parents[1]))
