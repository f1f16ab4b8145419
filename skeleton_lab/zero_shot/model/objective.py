"""What is minimised: the weights of the terms, and the settings of a method.  Without torch, for flags need it."""

from __future__ import annotations

from dataclasses import dataclass

VARIANTS = ("msf", "fsvae")


@dataclass(frozen=True)
class Weights:
    """Weights of the terms in one step: of K_s, of K_t, and of what ties the modalities together (0 or 1)."""

    skeleton_kld: float
    text_kld: float
    cross: float


@dataclass(frozen=True)
class Objective:
    """What is minimised: the method and the three settings of FS-VAE."""

    variant: str  # "msf" or "fsvae"
    alpha: float = 0.5
    lmd: float = 100.0
    use_cr_fact: bool = True

    def cross_weight(self, weights: Weights) -> float:
        """Of the cross reconstruction (MSF) or the calibrated terms (FS-VAE)."""
        if self.variant == "msf":
            return weights.cross
        return self.lmd * self.alpha * (weights.cross if self.use_cr_fact else 1.0)
