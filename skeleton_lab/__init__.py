"""Skeleton Action Lab: what the rooms share. Nothing in here imports a room."""

import sys

from skeleton_lab import environment

__version__ = "0.1.0"

environment.check_python(sys.version_info)
environment.watch()
