"""PYSKL's and ProtoGCN's fusion: the probabilities of several streams, added up with the published weights.

python ensemble.py --dataset ntu60/xsub --joint-dir work_dir/j --bone-dir work_dir/b

Two streams weigh 1 and 1. Of more, joints, bones and K-bones weigh 2 and their motion 1: four streams are joint, bone
and their motion, six those with K-bones. ProtoGCN's other six are joint, bone and K-bone, each trained twice with
different seeds (``--joint-second-dir`` ...), of one weight. Scores of tests with ten clips are logarithms of mean
probabilities, and count as these.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.ensemble.program import Recipe, main

KINDS = ("joint", "bone", "k-bone")
WEIGHTS = {
    **dict.fromkeys(KINDS, 2.0),
    **{f"{kind}-motion": 1.0 for kind in KINDS},
    **{f"{kind}-second": 2.0 for kind in KINDS},
}
NTU60, NTU120 = "data/ntu/ntu60_3danno.pkl", "data/ntu120/ntu120_3danno.pkl"

RECIPE = Recipe(
    labels={
        "ntu60/xsub": NTU60,
        "ntu60/xview": NTU60,
        "ntu120/xsub": NTU120,
        "ntu120/xset": NTU120,
        "gym": "data/gym/gym_hrnet.pkl",
        "k400": "data/k400/k400_hrnet.pkl",
    },
    layouts={
        "ntu60/xsub": "pyskl:xsub",
        "ntu60/xview": "pyskl:xview",
        "ntu120/xsub": "pyskl:xsub",
        "ntu120/xset": "pyskl:xset",
    },
    streams=tuple(WEIGHTS),
    stream_weights=WEIGHTS,
    probabilities=True,
    mean_class=True,
    digits=2,
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE, __file__))
