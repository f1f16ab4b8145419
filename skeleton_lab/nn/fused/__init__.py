"""Twins of plain layers under the same parameter names, with a forward and a backward that compute and keep less.

Activations are tensors (B, C, T, V): bodies, channels, frames, joints.  The twins keep them *joint-major* in memory
(the strides of a contiguous (B, C, V, T) tensor): a sum over joints is then one matrix product, and a temporal
kernel runs along memory.  Every layer accepts any strides; joint-major ones cost no copy.
"""

from skeleton_lab.nn.fused import backbone, multi_scale_tcn

__all__ = ["backbone", "multi_scale_tcn"]
