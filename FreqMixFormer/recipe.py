"""FreqMixFormer's training program: that of 2s-AGCN, with cuDNN deterministic; its log does not name the network."""

from __future__ import annotations

from skeleton_lab.engine.recipe import Recipe

RECIPE = Recipe("FreqMixFormer", mark="F", deterministic=True, logs_network=False)
