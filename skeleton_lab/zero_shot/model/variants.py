"""The two methods by name: their networks and what they minimise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from skeleton_lab.zero_shot.model import frequency, vae
from skeleton_lab.zero_shot.model.objective import Objective, Weights


def build(variant: str, vis_dim: int, text_dim: int, latent: int) -> nn.ModuleDict:
    """The four networks ``se``, ``sd``, ``te``, ``td`` of a variant ("msf" or "fsvae"), freshly initialised.

    Draws from torch's default generator in the published order.
    """
    encoder = frequency.FrequencyEncoder if variant == "fsvae" else vae.Encoder
    return nn.ModuleDict({
        "se": encoder([vis_dim, latent]),
        "sd": vae.Decoder([latent, vis_dim]),
        "te": encoder([text_dim, latent]),
        "td": vae.Decoder([latent, text_dim]),
    })  # fmt: skip


def losses(
    objective: Objective, networks: Mapping[str, nn.Module], s: Tensor, t: Tensor, eps: Tensor, permutation: Tensor,
    weights: Weights,
) -> dict[str, Tensor]:  # fmt: skip
    """The terms of a step and their weighted sum ``loss``, plainly; see ``losses`` of each method.

    Args:
        weights: of ``align.loss_weights.schedule``.
    """
    weights = replace(weights, cross=objective.cross_weight(weights))
    if objective.variant == "msf":
        return vae.losses(networks, s, t, eps, weights)
    return frequency.losses(networks, s, t, eps, permutation, weights, objective.lmd)
