"""``skeleton-lab cost``, also ``python -m skeleton_lab.cost``"""

from __future__ import annotations

from collections.abc import Sequence

from skeleton_lab.cost import flags


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    flags.parser().parse_args(argv)  # --help and mistakes need no PyTorch
    from skeleton_lab.cost import program

    return program.main(argv)


if __name__ == "__main__":
    raise SystemExit(main())
