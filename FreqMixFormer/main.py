"""FreqMixFormer.

python main.py --config config/nturgbd-cross-subject/joint.yaml --work-dir work_dir/freqmixformer_joint
"""

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run("F", __file__))
