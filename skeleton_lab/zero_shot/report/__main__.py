"""``python -m skeleton_lab.zero_shot.report``"""

from skeleton_lab.zero_shot.report.page import main

if __name__ == "__main__":
    raise SystemExit(main())
