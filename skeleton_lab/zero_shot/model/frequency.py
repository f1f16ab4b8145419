"""FS-VAE's gain per frequency: orthonormal DCT along the feature axis, a gain per coefficient, and back.

Published as thirty slice products between two FFTs in each call.  Here the gains are one vector, so that features that
never change are transformed once and a training step needs the inverse alone.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

BANDS = 30


@functools.lru_cache(maxsize=16)
def band_edges(width: int, bands: int = BANDS) -> tuple[int, ...]:
    """``bands + 1`` coefficient numbers; band i holds edges[i] .. edges[i+1] - 1, the last coefficient is in none.

    In float32, as published: for some widths (33, 65, 129 ...) exact arithmetic would give other edges.
    """
    return tuple(int(edge) for edge in torch.linspace(0, width - 1, bands + 1, dtype=torch.float32))


@functools.lru_cache(maxsize=32)
def _band_of(width: int, count: int, device: torch.device) -> Tensor:
    """(width,) int64: the band of every coefficient, ``count`` for the last one."""
    band = torch.full((width,), count)
    edges = band_edges(width, count)
    for place in range(count):
        band[edges[place] : edges[place + 1]] = place
    return band.to(device)


@functools.lru_cache(maxsize=32)
def _members(width: int, count: int, device: torch.device) -> Tensor:
    """(count, width) float32: 1 where a coefficient is in a band; sums by a product repeat exactly on a GPU too."""
    return (_band_of(width, count, device) == torch.arange(count, device=device)[:, None]).float()


@functools.lru_cache(maxsize=32)
def _slopes(width: int, count: int, bands: int, split: int, m: int, device: torch.device) -> Tensor:
    """(count,) float32: what ``w_i k`` is multiplied with in the gain of band i."""
    upper = band_edges(width, count)[1:]
    slopes = [
        1 - place / bands if edge <= split else -(1 - (place - bands // m) / bands) for place, edge in enumerate(upper)
    ]
    return torch.tensor(slopes, device=device)


def gains(width: int, k: Tensor, weights: Tensor, *, bands: int = BANDS, split: int = 30, m: int = 1) -> Tensor:
    """The gain of every coefficient, (width,): 1 + w k (1 - i/bands) below ``split``, 1 - w k (...) above.

    Args:
        k: () strength.
        weights: (30,) of the bands.
        bands, m: of the formula.
        split: number of a coefficient; bands whose upper edge is not above it are raised, the others lowered.
    """
    count, device = len(weights), weights.device
    bent = weights * k * _slopes(width, count, bands, split, m, device)
    return (1 + torch.cat([bent, bent.new_zeros(1)])).index_select(0, _band_of(width, count, device))


@functools.lru_cache(maxsize=32)
def _turns(width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Half-sample turns (width // 2 + 1,) complex64, the scale of coefficients, the order of samples, its inverse."""
    k = torch.arange(width // 2 + 1, dtype=torch.float64)
    turns = torch.exp(-0.5j * math.pi * k / width).to(torch.complex64)
    scale = torch.full((width,), math.sqrt(2 / width), dtype=torch.float64)
    scale[0] = math.sqrt(1 / width)
    order = torch.cat([torch.arange(0, width, 2), torch.arange(1, width, 2).flip(0)])
    return turns.to(device), scale.float().to(device), order.to(device), order.argsort().to(device)


def dct(x: Tensor) -> Tensor:
    """Orthonormal DCT-II along the last axis, by one real FFT (Makhoul 1980); float32."""
    width = x.shape[-1]
    turns, scale, order, _ = _turns(width, x.device)
    half = torch.fft.rfft(x.index_select(-1, order)) * turns
    upper = half.imag[..., 1 : (width + 1) // 2].flip(-1)  # coefficient width - k is minus the imaginary part of k
    return torch.cat([half.real, -upper], -1) * scale


def idct(spectrum: Tensor) -> Tensor:
    """The inverse of ``dct``: orthonormal DCT-III along the last axis; float32."""
    width = spectrum.shape[-1]
    turns, scale, _, inverse = _turns(width, spectrum.device)
    unscaled = spectrum / scale
    mirrored = torch.zeros_like(unscaled)
    mirrored[..., 1:] = unscaled[..., 1:].flip(-1)
    half = width // 2 + 1
    folded = torch.complex(unscaled[..., :half], -mirrored[..., :half]) * turns.conj()
    return torch.fft.irfft(folded, n=width).index_select(-1, inverse)


class Gain:
    """The gains at one place of training, on constant spectra, with the way back to what they are made of."""

    def __init__(self, width: int, k: Tensor, weights: Tensor, bands: int, split: int, m: int):
        count, device = len(weights), weights.device
        self.k, self.weights = k, weights
        self.slopes = _slopes(width, count, bands, split, m, device)
        self.members = _members(width, count, device)
        self.values = gains(width, k, weights, bands=bands, split=split, m=m)

    def apply(self, spectrum: Tensor) -> Tensor:
        """Features (B, width) from their spectra."""
        return idct(spectrum * self.values)

    def gradients(self, spectrum: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Those of k () and of the weights, from the slope at the features; the adjoint of the inverse is ``dct``."""
        each = (dct(slope) * spectrum).sum(0)
        bands = (self.members @ each) * self.slopes
        return (bands * self.weights).sum(), bands * self.k
