"""The discrete cosine transform of FreqMixFormer's frequency attention, and its inverse, along the last axis."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor


def turns(x: Tensor) -> Tensor:
    """exp(i pi f / 2V) for the frequencies f < V, where V is the length of the last axis."""
    V = x.shape[-1]
    return torch.exp(0.5j * math.pi / V * torch.arange(V, dtype=x.dtype, device=x.device))


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept must be usable in training
def cosines(V: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """To both domains (2, V, V): the identity and D, D[f, v] = 2 cos(pi (2v + 1) f / 2V); and the inverse of D."""
    f, v = torch.arange(V, dtype=torch.float64)[:, None], torch.arange(V, dtype=torch.float64)
    D = 2 * torch.cos(math.pi * (2 * v + 1) * f / (2 * V))
    back = D.t() / (2 * V)
    back[:, 0] /= 2
    return torch.stack([torch.eye(V, dtype=torch.float64), D]).to(device, dtype), back.to(device, dtype)


def dct(x: Tensor) -> Tensor:
    """X[f] = 2 sum_v x[v] cos(pi (2v + 1) f / 2V), by an FFT of reordered values (Makhoul 1980).

    In an exported file by the cosines: ONNX has no complex numbers.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))  # there is no transform in half precision
    if torch.onnx.is_in_onnx_export():
        return x @ cosines(x.shape[-1], x.dtype, x.device)[0][1].t()
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    return 2 * (spectrum * turns(x).conj()).real


def idct(X: Tensor) -> Tensor:
    """The inverse of ``dct``."""
    if torch.onnx.is_in_onnx_export():
        return X @ cosines(X.shape[-1], X.dtype, X.device)[1].t()
    return torch.fft.irfft(X * turns(X), n=2 * X.shape[-1])[..., : X.shape[-1]]
