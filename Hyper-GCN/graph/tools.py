"""What published graph files import from here."""

from skeleton_lab.graph.tools import *  # noqa: F403
