"""What is minimised, and how the weights of the terms move within a cycle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """Weights of the terms in one step: of K_s, of K_t, and of what ties the modalities together (0 or 1)."""

    skeleton_kld: float
    text_kld: float
    cross: float


def aligned_from(cycle_length: int) -> int:
    """The last offset within a cycle that does not yet align the modalities."""
    return 1400 if cycle_length == 1700 else 1500


def schedule(cycle: int, cycle_length: int, offset: int) -> Weights:
    """The weights at a 0-based offset within a 0-based cycle; every length other than 1700 has the times of 1900."""
    late = aligned_from(cycle_length)
    return Weights(
        skeleton_kld=max(0.0, 0.1 * (offset - 1000) / 3000),
        text_kld=max(0.0, 0.1 * (offset - late) / 3000) if cycle > 1 else 0.0,
        cross=1.0 if offset > late else 0.0,
    )


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
