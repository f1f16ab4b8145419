"""What published graph files import from here."""

from skeleton_lab.skeletons.graph_tools import *  # noqa: F403
