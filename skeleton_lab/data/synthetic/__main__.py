"""``python -m skeleton_lab.data.synthetic``"""

from skeleton_lab.data.synthetic.archive import main

if __name__ == "__main__":
    raise SystemExit(main())
