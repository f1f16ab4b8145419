"""Hyper-GCN.

python main.py --config config/base/nturgbd-cross-subject/hyper_joint.yaml --work-dir work_dir/hypergcn_joint
"""

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run("H", __file__))
