"""Features and logits of a trained room, laid out for FS-VAE and MSF-GZSSAR: sk_feats/<backbone>_<ss>_<st>/."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.zero_shot.features.program import main

if __name__ == "__main__":
    sys.exit(main())
