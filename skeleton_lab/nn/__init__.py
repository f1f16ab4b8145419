"""Layers that two or more rooms share, written to compute and to remember less than their textbook forms.

Activations are tensors (B, C, T, V): bodies, channels, frames, joints.  The layers keep them *joint-major* in memory
(the strides of a contiguous (B, C, V, T) tensor): a sum over joints is then one matrix product, and a temporal
kernel runs along memory.  Every layer accepts any strides; joint-major ones cost no copy.
"""
