"""The training and evaluation engine: ``raise SystemExit(run("C", __file__))`` is a room's whole main program."""

from skeleton_lab.engine.run import run

__all__ = ["run"]
