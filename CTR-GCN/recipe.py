"""CTR-GCN's training program, which is that of 2s-AGCN with a factor for the steps of the learning rate."""

from __future__ import annotations

from skeleton_lab.engine.recipe import FLAGS, Recipe

RECIPE = Recipe("CTR-GCN", mark="C", flags=(*FLAGS, "lr_decay_rate"), deterministic=True)
