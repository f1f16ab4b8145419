"""What networks are made of: plain layers as the papers print them (``layers``, ``backbone``) and their fused twins.

``fuse`` and ``unfuse`` change a network's form in place; its parameters and their names stay.
"""

from skeleton_lab.nn.fuse import fuse, is_fused, unfuse

__all__ = ["fuse", "is_fused", "unfuse"]
