"""The same networks and losses with fewer, larger kernels.

``encoders`` holds the twins that ``nn.fuse`` takes; ``step`` computes what ``variants.losses`` computes, with its
gradients written out, on the parameters that ``packed`` holds in one vector.
"""

from skeleton_lab.zero_shot.model.fused import encoders

__all__ = ["encoders"]
