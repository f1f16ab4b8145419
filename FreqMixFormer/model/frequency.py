"""Attention maps between joints, in space and in frequency (section 3 of the paper), from pooled features.

The frequency copies are a discrete cosine transform along the joints.  Queries and keys are means over channels and
frames, and both transform and mean are linear: the mean goes first, so that only (B, 24, V) values are transformed.

Notation: B bodies, V joints, 3 subsets of the graph, 4 quarters of the channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SUBSETS = 3
QUARTERS = 4


def dct_matrix(V: int) -> Tensor:
    """D (V, V) float64: DCT-II without normalisation, D[f, v] = 2 cos(pi (2v + 1) f / 2V)."""
    f, v = torch.arange(V, dtype=torch.float64)[:, None], torch.arange(V, dtype=torch.float64)
    return 2 * torch.cos(math.pi * (2 * v + 1) * f / (2 * V))


def idct_matrix(V: int) -> Tensor:
    """E (V, V) float64, the inverse of ``dct_matrix``: E[j, f] = cos(pi (2j + 1) f / 2V) c_f / V, c_0 = 1/2, else 1."""
    E = dct_matrix(V).t() / (2 * V)
    E[:, 0] /= 2
    return E


def queries_and_keys(pooled: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The means over channels and frames that the maps are made of.

    Args:
        pooled: (B, I, V), mean over frames of the unit's input.
        weight, bias: (3C, I, 1, 1) and (3C,) of the unit's 1x1 convolution; channels are subset, quarter, half (queries
            before keys), C/8 channels of a half.

    Returns:
        (B, 3, 4, 2, V).
    """
    halves = SUBSETS * QUARTERS * 2
    rows = weight.flatten(1).unflatten(0, (halves, -1)).mean(1)
    qk = torch.matmul(rows, pooled) + bias.unflatten(0, (halves, -1)).mean(1)[:, None]
    return qk.view(len(pooled), SUBSETS, QUARTERS, 2, -1)


def scores(rows: Tensor, columns: Tensor) -> Tensor:
    """softmax over w of rows[v] * columns[w]: (..., V) twice -> (..., V, V)."""
    return (rows.unsqueeze(-1) * columns.unsqueeze(-2)).softmax(-1)


class FrequencyMixing(nn.Module):
    """Maps of all subsets and quarters, mixed from both domains.

    Args:
        V: joints.
        split, low, high: factors of the columns of the cross maps in the frequency domain: ``low`` before column
            ``split``, ``high`` from there on.

    ``forward(qk, within, across)`` takes the output of ``queries_and_keys`` and the linear layers (V -> V) for maps
    within a quarter and across neighbouring quarters; it returns M (B, 3, 4, V, V), row = source joint.
    """

    def __init__(self, V: int, split: int = 13, low: float = 0.5, high: float = 1.5):
        super().__init__()
        emphasis = torch.where(torch.arange(V) < split, low, high)
        domains = torch.stack([torch.eye(V, dtype=torch.float64), dct_matrix(V)])
        self.register_buffer("domains", domains.to(torch.float32), persistent=False)  # space, frequency
        self.register_buffer("back", idct_matrix(V).to(torch.float32), persistent=False)
        self.register_buffer("emphasis", torch.stack([torch.ones(V), emphasis])[:, None, None, None], persistent=False)

    def forward(self, qk: Tensor, within: nn.Linear, across: nn.Linear) -> Tensor:
        qk = qk.unsqueeze(1) @ self.domains.transpose(1, 2)[:, None, None]
        q, k = F.relu(within(qk)).unbind(-2)  # (B, 2, 3, 4, V) each, domain first
        own = scores(q, k)
        q, k = F.relu(across(qk[..., 1:, 0, :])), F.relu(across(qk[..., :-1, 1, :]))
        cross = scores(k, q) * self.emphasis  # rows from a quarter's keys, columns from the next one's queries
        mixed = own / 2 + (F.pad(cross, (0, 0, 0, 0, 1, 0)) + F.pad(cross, (0, 0, 0, 0, 0, 1))) / 4
        space, frequency = mixed.unbind(1)
        back = frequency @ self.back.t()
        return back + space.to(back.dtype)  # autocast, where on, decides the precision here
