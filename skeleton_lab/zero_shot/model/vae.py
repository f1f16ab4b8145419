"""MSF-GZSSAR: two VAEs, of skeleton features and of class texts, aligned in one latent space.

Li et al., "Multi-semantic fusion model for generalized zero-shot skeleton-based action recognition", ICIG 2023.
Parameters have the published names.  No dropout and no normalisation: training and evaluation compute the same.

Notation: B samples, V numbers of a skeleton feature s, D of a text feature t, L latents; ``se``, ``sd`` encode and
decode skeleton features, ``te``, ``td`` text features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.zero_shot.model.objective import Weights

TRAINED = ("se", "sd", "te", "td")  # in the order of initialisation and of the optimizer's parameters


def initialise(network: nn.Module) -> None:
    """Xavier-uniform weights with gain 0.5 and zero biases, in the order of construction."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=0.5)
            nn.init.zeros_(module.bias)


def _stack(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(sizes):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Features to mean and log variance of the latent distribution.

    Args:
        layer_sizes: of the features, of hidden layers (published: none), of the latents.
    """

    def __init__(self, layer_sizes: Sequence[int]):
        super().__init__()
        self._build(layer_sizes)

    def _build(self, sizes: Sequence[int]) -> None:
        self.model = _stack(sizes[:-1])
        self.mu_transformation = self._head(sizes[-2], sizes[-1])
        self.logvar_transformation = self._head(sizes[-2], sizes[-1])
        initialise(self)

    def _head(self, inner: int, outer: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inner, outer))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, first size) -> mu, logvar, each (B, L)."""
        hidden = self.model(x)
        return self.mu_transformation(hidden), self.logvar_transformation(hidden)

    @torch.no_grad()
    def mean(self, x: Tensor) -> Tensor:
        """mu (B, L) alone, for evaluation."""
        return self(x)[0]


class Decoder(nn.Module):
    """Linear and ReLU for every pair of sizes: what it returns is never negative, as published."""

    def __init__(self, layer_sizes: Sequence[int]):
        super().__init__()
        self.model = _stack(layer_sizes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, first size) -> (B, last size)."""
        return self.model(x)


class MLP(Decoder):
    """The classifier of unseen classes: as the decoder, so logits are at least 0 and ties go to the first column."""


# --- what is minimised ---------------------------------------------------------------------------------------------


def sample(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """z (B, L) from N(mu, exp(logvar)); noise eps (B, 1), one number for all latents of a sample, as published."""
    return mu + eps * torch.exp(0.5 * logvar)


def minus_kld(mu: Tensor, logvar: Tensor) -> Tensor:
    """Minus the KL divergence from N(0, 1), summed over the latents, mean over the samples: ()."""
    return 0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp()) / len(mu)


def alone(
    networks: Mapping[str, nn.Module], s: Tensor, t: Tensor, eps: Tensor
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Every modality by itself.

    Args:
        s, t: (B, V), (B, D).
        eps: (2, B, 1) of s and t.

    Returns:
        The latents of s and of t, each (B, L), and ``s_recons``, ``t_recons``, ``s_kld``, ``t_kld``.
    """
    (smu, slv), (tmu, tlv) = networks["se"](s), networks["te"](t)
    sz, tz = sample(smu, slv, eps[0]), sample(tmu, tlv, eps[1])
    terms = {
        "s_recons": F.mse_loss(networks["sd"](sz), s), "t_recons": F.mse_loss(networks["td"](tz), t),
        "s_kld": minus_kld(smu, slv), "t_kld": minus_kld(tmu, tlv),
    }  # fmt: skip
    return sz, tz, terms


def loss_alone(terms: Mapping[str, Tensor], weights: Weights) -> Tensor:
    kld = weights.skeleton_kld * terms["s_kld"] + weights.text_kld * terms["t_kld"]
    return terms["s_recons"] + terms["t_recons"] - kld


def losses(
    networks: Mapping[str, nn.Module], s: Tensor, t: Tensor, eps: Tensor, weights: Weights
) -> dict[str, Tensor]:  # fmt: skip
    """The terms of MSF-GZSSAR and their weighted sum ``loss``, () each; arguments as of ``alone``.

    What ties the modalities together is cross reconstruction: each is decoded from the latent of the other.
    """
    sz, tz, terms = alone(networks, s, t, eps)
    terms["s_crecons"] = F.mse_loss(networks["sd"](tz), s)
    terms["t_crecons"] = F.mse_loss(networks["td"](sz), t)
    terms["loss"] = loss_alone(terms, weights) + weights.cross * (terms["s_crecons"] + terms["t_crecons"])
    return terms
