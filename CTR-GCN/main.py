"""CTR-GCN: python main.py --config config/nturgbd-cross-subject/default.yaml --work-dir work_dir/ctrgcn ..."""

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run("C", __file__))
