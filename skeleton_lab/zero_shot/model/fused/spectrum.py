"""FS-VAE's gains on constant data: features that never change are transformed once, a step needs the inverse alone.

Published as thirty slice products between two FFTs in each call.  Here the gains are one vector and the tables are made
once; a transform takes half of an FFT's output, as its input is real, and far less than the product of the plain form.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from skeleton_lab.zero_shot.model.frequency import band_of


@functools.lru_cache(maxsize=32)
def _members(width: int, count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(count, width): 1 where a coefficient is in a band; sums by a product repeat exactly on a GPU too."""
    band = torch.tensor(band_of(width, count))
    return (band == torch.arange(count)[:, None]).to(dtype).to(device)


@functools.lru_cache(maxsize=32)
def _turns(width: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Half-sample turns (width // 2 + 1,) complex, the scale of coefficients, the order of samples, its inverse."""
    k = torch.arange(width // 2 + 1, dtype=torch.float64)
    turns = torch.exp(-0.5j * math.pi * k / width).to(torch.complex128 if dtype == torch.float64 else torch.complex64)
    scale = torch.full((width,), math.sqrt(2 / width), dtype=torch.float64)
    scale[0] = math.sqrt(1 / width)
    order = torch.cat([torch.arange(0, width, 2), torch.arange(1, width, 2).flip(0)])
    return turns.to(device), scale.to(dtype).to(device), order.to(device), order.argsort().to(device)


def dct(x: Tensor) -> Tensor:
    """Orthonormal DCT-II along the last axis, by one real FFT (Makhoul 1980)."""
    width = x.shape[-1]
    turns, scale, order, _ = _turns(width, x.dtype, x.device)
    half = torch.fft.rfft(x.index_select(-1, order)) * turns
    upper = half.imag[..., 1 : (width + 1) // 2].flip(-1)  # coefficient width - k is minus the imaginary part of k
    return torch.cat([half.real, -upper], -1) * scale


def idct(spectrum: Tensor) -> Tensor:
    """The inverse of ``dct``: orthonormal DCT-III along the last axis."""
    width = spectrum.shape[-1]
    turns, scale, _, inverse = _turns(width, spectrum.dtype, spectrum.device)
    unscaled = spectrum / scale
    mirrored = torch.zeros_like(unscaled)
    mirrored[..., 1:] = unscaled[..., 1:].flip(-1)
    half = width // 2 + 1
    folded = torch.complex(unscaled[..., :half], -mirrored[..., :half]) * turns.conj()
    return torch.fft.irfft(folded, n=width).index_select(-1, inverse)


class Gain:
    """The gains (width,) at one place of training, on constant spectra, with the way back to what they are made of.

    Equals ``FrequencyEncoder.gains``, g_c = 1 + w_i k slope_i for coefficient c of band i.  With features
    y = idct(X g) and a slope dy at them, the adjoint of the orthonormal idct gives dg = sum over samples of dct(dy) X;
    hence dw_i = k slope_i sum of dg over the band, and dk = sum_i w_i slope_i of those sums.
    """

    def __init__(self, k: Tensor, weights: Tensor, slope: Tensor, band: Tensor):
        self.k, self.weights, self.slope, self.band = k, weights, slope, band
        bent = weights * k * slope
        self.values = (1 + torch.cat([bent, bent.new_zeros(1)])).index_select(0, band)

    def apply(self, spectrum: Tensor) -> Tensor:
        """Features (B, width) from their spectra."""
        return idct(spectrum * self.values)

    def gradients(self, spectrum: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Those of k () and of the weights, from the slope at the features; see above."""
        each = (dct(slope) * spectrum).sum(0)
        bands = (_members(len(each), len(self.weights), each.dtype, each.device) @ each) * self.slope
        return (bands * self.weights).sum(), bands * self.k
