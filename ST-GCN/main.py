"""ST-GCN: python main.py recognition -c config/st_gcn/ntu-xsub/train.yaml"""

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run("T", __file__))
