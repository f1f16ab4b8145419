"""The text half of OpenAI's CLIP (Radford et al. 2021), for inference, under its published names.

Only what reaches the result is computed: rows are cut behind the longest text (later positions cannot reach the end
token through the causal mask), and the last block works on the end positions alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.errors import WeightsError

HEAD = 64  # channels per attention head
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.")


class _Attention(nn.Module):
    """Multi-head self-attention with the parameter names of ``nn.MultiheadAttention``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, end: Tensor | None) -> Tensor:
        """x (n, L, W) to (n, L, W); with ``end`` (n,) only those positions ask: (n, 1, W)."""
        n, length, width = x.shape
        weight, bias = self.in_proj_weight, self.in_proj_bias
        asking = x if end is None else x[torch.arange(n, device=x.device), end].unsqueeze(1)
        q = F.linear(asking, weight[:width], bias[:width])
        k, v = F.linear(x, weight[width:], bias[width:]).chunk(2, -1)
        q, k, v = (part.view(n, -1, width // HEAD, HEAD).transpose(1, 2) for part in (q, k, v))
        if end is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            seen = torch.arange(length, device=x.device) <= end[:, None]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])
        return self.out_proj(y.transpose(1, 2).reshape(n, -1, width))


class _MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.c_fc(x)
        return self.c_proj(hidden * torch.sigmoid(1.702 * hidden))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn, self.ln_1 = _Attention(width), nn.LayerNorm(width)
        self.mlp, self.ln_2 = _MLP(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, end: Tensor | None = None) -> Tensor:
        attended = self.attn(self.ln_1(x), end)
        x = x if end is None else x[torch.arange(len(x), device=x.device), end].unsqueeze(1)
        x = x + attended
        return x + self.mlp(self.ln_2(x))


class _Transformer(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(width) for _ in range(layers))


class TextTower(nn.Module):
    """Token ids to text features.

    Args:
        width: W, channels (a multiple of 64, one head each); layers: number of blocks; out: D, features per text.
    """

    def __init__(self, width: int = 512, layers: int = 12, out: int = 512, vocabulary: int = 49408, context: int = 77):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.zeros(context, width))
        self.text_projection = nn.Parameter(torch.zeros(width, out))
        self.transformer = _Transformer(width, layers)
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.ln_final = nn.LayerNorm(width)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], where: str) -> TextTower:
        """The tower whose weights are among ``weights``, in float32; sizes follow from the shapes.

        Raises:
            WeightsError: entries are missing, of a wrong shape or not finite; ``where`` names the file.
        """
        blocks = [int(match[1]) for name in weights if (match := _BLOCK.match(name))]
        projection, tokens = weights.get("text_projection"), weights.get("token_embedding.weight")
        positions = weights.get("positional_embedding")
        if not blocks or any(part is None or part.dim() != 2 for part in (projection, tokens, positions)):
            raise WeightsError(f"{where}: holds no CLIP text tower (transformer.resblocks.*, text_projection, ...)")
        width, out = projection.shape
        if width % HEAD:
            raise WeightsError(f"{where}: a text tower of width {width}; CLIP's is a multiple of {HEAD}")
        with torch.device("meta"):
            tower = cls(width, max(blocks) + 1, out, len(tokens), len(positions))
        names = tower.state_dict()
        faults = [
            f"{name} {tuple(weights[name].shape) if name in weights else 'missing'}, expected {tuple(value.shape)}"
            for name, value in names.items()
            if name not in weights or weights[name].shape != value.shape
        ]
        if faults:
            raise WeightsError(f"{where}: does not fit CLIP's text tower: {'; '.join(faults[:3])}")
        own = {name: weights[name].to(torch.float32) for name in names}
        if not all(value.isfinite().all() for value in own.values()):
            raise WeightsError(f"{where}: the text tower's weights are not finite")
        tower.load_state_dict(own, assign=True)
        return tower.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, ids: Tensor) -> Tensor:
        """ids (n, <= 77) int64, the end token the largest of each row, to features (n, D) float32, not normalised."""
        end = ids.argmax(1)
        ids = ids[:, : int(end.max()) + 1]
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        *blocks, last = self.transformer.resblocks
        for block in blocks:
            x = block(x)
        return self.ln_final(last(x, end)[:, 0]) @ self.text_projection

    def encode(self, rows: np.ndarray, device: torch.device, batch: int = 64) -> np.ndarray:
        """Features (n, D) float32 of token rows (n, 77), in batches of similar length."""
        self.to(device)
        order = np.argsort((rows != 0).sum(1), kind="stable")
        result = np.empty((len(rows), self.text_projection.shape[1]), np.float32)
        for first in range(0, len(rows), batch):
            chosen = order[first : first + batch]
            result[chosen] = self(torch.from_numpy(rows[chosen]).to(device)).cpu().numpy()
        return result
