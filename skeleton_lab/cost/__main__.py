"""``python -m skeleton_lab.cost``"""

from skeleton_lab.cost.program import main

if __name__ == "__main__":
    raise SystemExit(main())
