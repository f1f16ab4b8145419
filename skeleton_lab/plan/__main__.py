"""``skeleton-lab plan``, also ``python -m skeleton_lab.plan``"""

from __future__ import annotations

from collections.abc import Sequence

from skeleton_lab.plan import flags


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    flags.parser().parse_args(argv)  # --help and mistakes need no PyTorch
    from skeleton_lab.plan import program

    return program.main(argv)


if __name__ == "__main__":
    raise SystemExit(main())
