"""``predict.py`` of every supervised room: what a trained network says to recordings of one's own."""

from skeleton_lab.inference.program import run

__all__ = ["run"]
