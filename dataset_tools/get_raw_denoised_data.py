"""Second step of raw recordings to NTU60_CS.npz and its kind: who is an actor; writes denoised_data/.

Run it in data/ntu or data/ntu120, with the recordings in ../nturgbd_raw.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.data.preprocessing.programs import ctrgcn_stage

if __name__ == "__main__":
    raise SystemExit(ctrgcn_stage("denoise"))
