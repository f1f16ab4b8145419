"""The published ensemble of FreqMixFormer: six streams, weights searched for with scikit-optimize.

python ensemble.py --dataset ntu/xsub --joint-dir work_dir/k8_joint --bone-dir work_dir/k8_motion \\
    --joint-motion-dir work_dir/k1_joint --bone-motion-dir work_dir/k1_motion \\
    --joint-k2-dir work_dir/k2_joint --joint-motion-k2-dir work_dir/k2_motion

The names of the flags are older than the streams: k = 8, 1, 2 of joint and motion go to them as above. Fewer streams,
from two on, work as well.

The search maximises top-1 on the test labels themselves. What it finds is fitted on test and optimistic, and so are the
published figures; the lines before it have the accuracy of every stream and of their plain sum, fitted to nothing.
Without scikit-optimize: ``--fit`` searches on a grid, ``--weights`` takes fixed numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import STREAM_WEIGHTS, Recipe, main

RECIPE = Recipe(streams=(*STREAM_WEIGHTS, "joint-k2", "joint-motion-k2"), searched=True)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
