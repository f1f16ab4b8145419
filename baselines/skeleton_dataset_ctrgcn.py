"""``NTU60SkeletonDataset`` for one's own scripts; run by itself it shows what a loader gets from the archive."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.baselines.dataset import NTU60SkeletonDataset, check
from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import Parser

__all__ = ["NTU60SkeletonDataset"]


def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--npz-path", type=Path, metavar="FILE", help="default: where documents put it")
    options = parser.parse_args()
    return guarded(lambda: check(options.npz_path))


if __name__ == "__main__":
    sys.exit(main())
