"""Skeleton Action Lab: what the rooms share. Nothing in here imports a room."""

import sys

from skeleton_lab.utils import python_check

__version__ = "0.1.0"

python_check.check_python(sys.version_info)
python_check.watch()
