"""MS-G3D.

python main.py --config config/nturgbd-cross-subject/train_joint_kaggle.yaml --work-dir work_dir/msg3d_joint
"""

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run("G", __file__))
