"""``python -m skeleton_lab``: the same as ``skeleton-lab``."""

from skeleton_lab.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
