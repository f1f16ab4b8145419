"""CLIP features of the class texts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.zero_shot.text.generate import main

if __name__ == "__main__":
    sys.exit(main(__file__, ntu=None, arch="ViT-B/16"))
