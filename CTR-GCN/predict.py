"""CTR-GCN on recordings of your own.

python predict.py --config config/nturgbd-cross-subject/default.yaml --weights W.pt --input keypoints.json
"""

from skeleton_lab.predict import run

if __name__ == "__main__":
    raise SystemExit(run("C", __file__))
