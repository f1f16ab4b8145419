"""FS-VAE: encoders that raise low and lower high frequencies of the features, and a calibrated alignment.

Wu et al., "Frequency-semantic enhanced variational autoencoder for zero-shot skeleton-based action recognition",
ICCV 2025.  Decoders, classifier and notation are those of MSF-GZSSAR (``vae.py``), on which the paper builds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from skeleton_lab.zero_shot.model.objective import Weights
from skeleton_lab.zero_shot.model.vae import Encoder, alone, loss_alone

BANDS = 30


def band_edges(width: int, bands: int = BANDS) -> tuple[int, ...]:
    """``bands + 1`` coefficient numbers; band i holds edges[i] .. edges[i+1] - 1, the last coefficient is in none.

    In float32, as published: for some widths (33, 65, 129 ...) exact arithmetic would give other edges.
    """
    return tuple(torch.linspace(0, width - 1, bands + 1, dtype=torch.float32).int().tolist())


def band_of(width: int, bands: int = BANDS) -> list[int]:
    """The band of every coefficient, ``bands`` for the last one, which is in none."""
    edges = band_edges(width, bands)
    inside = [band for band in range(bands) for _ in range(edges[band + 1] - edges[band])]
    return inside + [bands] * (width - len(inside))


def slopes(width: int, count: int, bands: int = BANDS, split: int = 30, m: int = 1) -> list[float]:
    """For each of ``count`` bands, what ``w_i k`` is multiplied with in its gain.

    1 - i / bands where the band's upper edge is not above coefficient ``split``: raised, the lower the more;
    -(1 - (i - bands // m) / bands) for the others: lowered.
    """
    upper = band_edges(width, count)[1:]
    return [1 - i / bands if edge <= split else -(1 - (i - bands // m) / bands) for i, edge in enumerate(upper)]


def dct_basis(width: int) -> Tensor:
    """D (width, width), float64: D x is the orthonormal DCT-II of x, D^T its inverse."""
    k, n = torch.arange(width, dtype=torch.float64)[:, None], torch.arange(width, dtype=torch.float64)
    basis = math.sqrt(2 / width) * torch.cos(math.pi / width * (n + 0.5) * k)
    basis[0] /= math.sqrt(2)
    return basis


class FrequencyEncoder(Encoder):
    """A gain per DCT coefficient of the features, then mean and log variance as in ``Encoder``.

    The control values are parameters, as in published files, but only ``k`` and ``freq_weights`` are learned.

    Attributes:
        controls: switch, number of bands, split and m as Python values; read from the parameters when they are loaded.
        slope, band, basis: of ``slopes``, ``band_of`` and ``dct_basis``, for the features' width.
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        dct_enhancement: bool = True,
        k: float = 0.3,
        num_freq_bands: int = BANDS,
        split_freq: int = 30,
        m: int = 1,
    ):
        nn.Module.__init__(self)
        controls = {"k": k, "num_freq_bands": num_freq_bands, "split_freq": split_freq, "m": m}
        for name, value in {"dct_enhancement": dct_enhancement, **controls}.items():
            self.register_parameter(name, nn.Parameter(torch.tensor(float(value))))
        self.freq_weights = nn.Parameter(torch.ones(num_freq_bands))
        self._build(layer_sizes)
        for name in ("slope", "band", "basis"):
            self.register_buffer(name, None, persistent=False)
        self.width = layer_sizes[0]
        _read_controls(self)
        self.register_load_state_dict_post_hook(_read_controls)

    def _head(self, inner: int, outer: int) -> nn.Module:
        return nn.Linear(inner, outer)

    def gains(self) -> Tensor:
        """The gain of every coefficient, (width,): 1 + w_i k slope_i in band i, 1 for the last coefficient."""
        of_bands = 1 + self.freq_weights * self.k * self.slope
        return torch.cat([of_bands, of_bands.new_ones(1)])[self.band]

    def enhance(self, x: Tensor) -> Tensor:
        """The features (B, width) that the linear maps see."""
        return x @ self.basis.t() * self.gains() @ self.basis if self.controls[0] else x

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(self.enhance(x))


def _read_controls(encoder: FrequencyEncoder, _=None) -> None:
    bands, split, m = (int(value) for value in (encoder.num_freq_bands, encoder.split_freq, encoder.m))
    encoder.controls = bool(encoder.dct_enhancement), bands, split, m
    width, count, w = encoder.width, len(encoder.freq_weights), encoder.freq_weights
    encoder.slope = torch.tensor(slopes(width, count, bands, split, m), dtype=w.dtype, device=w.device)
    encoder.band = torch.tensor(band_of(width, count), device=w.device)
    encoder.basis = dct_basis(width).to(w)


def losses(
    networks: Mapping[str, nn.Module], s: Tensor, t: Tensor, eps: Tensor, permutation: Tensor, weights: Weights,
    lmd: float = 100.0,
) -> dict[str, Tensor]:  # fmt: skip
    """The terms of FS-VAE and their weighted sum ``loss``, () each; arguments as of ``vae.alone``.

    What ties the modalities together is calibrated: a sigmoid keeps far samples from dominating, and a text must be
    nearer to what its own sequence decodes to than to what another one does.

    Args:
        permutation: (B,) which other sequence is compared with each.
        weights: with the weight of the calibrated terms, alpha * lmd where they count, as ``cross``.
        lmd: squared distance that counts as 1 in the sigmoid.
    """
    sz, tz, terms = alone(networks, s, t, eps)
    own = (t - networks["td"](sz)).square().sum(1)
    other = (t - networks["td"](sz[permutation])).square().sum(1)
    terms["t_cali"] = torch.sigmoid((own - other) / lmd).mean()
    terms["s_cali"] = torch.sigmoid((s - networks["sd"](tz)).square().sum(1) / lmd).mean()
    terms["loss"] = loss_alone(terms, weights) + weights.cross * (terms["t_cali"] + terms["s_cali"])
    return terms
