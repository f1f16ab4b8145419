"""SkateFormer: python main.py --config config/train/ntu_cs/SkateFormer_j.yaml --work-dir work_dir/skateformer_joint"""

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run("S", __file__))
