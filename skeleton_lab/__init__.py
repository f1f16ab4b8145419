"""Skeleton Action Lab: what the rooms share. Nothing in here imports a room."""

__version__ = "0.1.0"
