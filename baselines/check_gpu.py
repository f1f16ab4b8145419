"""Is there a GPU, which one, and does this PyTorch fit it?  Ends with exit code 0 whatever the answer."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.utils.cli import Parser

if __name__ == "__main__":
    Parser(description=__doc__).parse_args()
    from skeleton_lab.baselines.gpu import report  # here: --help needs no PyTorch

    print("\n".join(report()))
