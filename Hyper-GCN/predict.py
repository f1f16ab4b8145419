"""Hyper-GCN on recordings of your own.

python predict.py --config config/base/nturgbd-cross-subject/hyper_joint.yaml --weights W.pt --input keypoints.json
"""

from skeleton_lab.predict import run

if __name__ == "__main__":
    raise SystemExit(run("H", __file__))
