"""What PyTorch's memory-efficient attention computes on CUDA, computed elsewhere with the maps written out.

Shapes are (W, H, L, E): batch, heads, tokens, channels; the bias is (W, H, L, L) or None.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attention(q, k, v, bias, compute_log_sumexp, p=0.0, is_causal=False, *, scale=None):
    """Output, logarithms of the softmax's sums, and the seed and offset that dropout's mask is drawn from again."""
    scores = _scores(q, k, bias, scale)
    seed, offset = torch.zeros((2,), dtype=torch.int64, device=q.device).unbind()
    if p and not q.is_meta:
        seed.random_()
    P = scores.softmax(-1) * _kept(scores, seed, p)
    o = (P.to(v.dtype) @ v).transpose(1, 2).contiguous().transpose(1, 2)  # as the kernel lays it out
    return o, scores.logsumexp(-1), seed, offset


def attention_backward(do, q, k, v, bias, o, log_sumexp, seed, offset, p, wanted, is_causal=False, *, scale=None):
    """Gradients for q, k, v and, if ``wanted[3]``, of every window for the bias."""
    scores = _scores(q, k, bias, scale)
    P, kept = (scores - log_sumexp[..., None]).exp(), _kept(scores, seed, p)
    dP = (do @ v.transpose(2, 3)).to(P.dtype) * kept
    dS = P * (dP - (do * o).sum(-1, keepdim=True, dtype=P.dtype))
    dv = (P * kept).transpose(2, 3).to(do.dtype) @ do
    dscaled = (dS * scale).to(q.dtype)
    return dscaled @ k, dscaled.transpose(2, 3) @ q, dv, dS.to(q.dtype) if wanted[3] else None


def _scores(q: Tensor, k: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    scores = (q @ k.transpose(2, 3)).to(torch.promote_types(q.dtype, torch.float32)) * scale
    return scores if bias is None else scores + bias


def _kept(scores: Tensor, seed: Tensor, p: float) -> Tensor | float:
    """1 / (1 - p) where a value stays, 0 where it is dropped."""
    if not p:
        return 1.0
    noise = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
    if not scores.is_meta:
        noise.uniform_(generator=torch.Generator().manual_seed(int(seed)))
    return (noise >= p) / (1 - p)
