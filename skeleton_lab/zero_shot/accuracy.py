"""The one figure of generalised zero-shot recognition."""

from __future__ import annotations


def harmonic(seen: float, unseen: float) -> float:
    """Harmonic mean; 0 where both are."""
    total = seen + unseen
    return 2 * seen * unseen / total if total else 0.0 * total
