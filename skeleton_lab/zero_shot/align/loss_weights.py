"""How the weights of the terms of the loss move within a cycle."""

from __future__ import annotations

from skeleton_lab.zero_shot.model.objective import Weights


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
