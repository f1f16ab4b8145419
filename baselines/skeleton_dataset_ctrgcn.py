"""``NTU60SkeletonDataset`` for one's own scripts; run by itself it shows what a loader gets from the archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import Parser

if TYPE_CHECKING:
    from skeleton_lab.baselines.dataset import NTU60SkeletonDataset

__all__ = ["NTU60SkeletonDataset"]


def __getattr__(name: str) -> Any:
    """The data set, with PyTorch, when somebody asks for it: ``--help`` needs neither."""
    if name in __all__:
        from skeleton_lab.baselines import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--npz-path", type=Path, metavar="FILE", help="default: where documents put it")
    options = parser.parse_args()

    def program() -> None:
        from skeleton_lab.baselines.dataset import check

        check(options.npz_path)

    return guarded(program)


if __name__ == "__main__":
    sys.exit(main())
