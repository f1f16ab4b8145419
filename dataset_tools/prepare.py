"""Raw recordings to the files that feeders read, with the published pipelines.

python dataset_tools/prepare.py ntu60 --raw nturgb+d_skeletons --out data/ntu
python dataset_tools/prepare.py ntu120 --pipeline msg3d --raw nturgb+d_skeletons nturgb+d_skeletons120 --out data/ntu120
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.data.preprocessing.programs import prepare

if __name__ == "__main__":
    raise SystemExit(prepare())
