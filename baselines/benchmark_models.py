"""How fast do the models train here?  python benchmark_models.py --model ctrgcn --steps 50 --device cuda:0 --amp"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.baselines.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
