"""The two VAEs and the classifier of unseen classes, with the published names of parameters.

Li et al., "Multi-semantic fusion model for generalized zero-shot skeleton-based action recognition", ICIG 2023;
Wu et al., "Frequency-semantic enhanced variational autoencoder for zero-shot skeleton-based action recognition",
ICCV 2025.  No dropout and no normalisation: training and evaluation compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from skeleton_lab.zero_shot.model.frequency import BANDS, Gain, dct

VARIANTS = ("msf", "fsvae")
TRAINED = ("se", "sd", "te", "td")  # in the order of initialisation and of the optimizer's parameters


def initialise(network: nn.Module) -> None:
    """Xavier-uniform weights with gain 0.5 and zero biases, in the order of construction."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=0.5)
            nn.init.zeros_(module.bias)


def _stack(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(sizes):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers)


class Decoder(nn.Module):
    """Linear and ReLU for every pair of sizes: what it returns is never negative, as published."""

    def __init__(self, layer_sizes: Sequence[int]):
        super().__init__()
        self.model = _stack(layer_sizes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, first size) -> (B, last size)."""
        return self.model(x)


class MLP(Decoder):
    """The classifier of unseen classes: as the decoder, so logits are at least 0 and ties go to the first column."""


class Encoder(nn.Module):
    """Features to mean and log variance of the latent distribution (MSF-GZSSAR)."""

    def __init__(self, layer_sizes: Sequence[int]):
        super().__init__()
        self._build(layer_sizes)

    def _build(self, sizes: Sequence[int]) -> None:
        self.model = _stack(sizes[:-1])
        self.mu_transformation = self._head(sizes[-2], sizes[-1])
        self.logvar_transformation = self._head(sizes[-2], sizes[-1])
        initialise(self)

    def _head(self, inner: int, outer: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inner, outer))

    def spectrum(self, x: Tensor) -> Tensor:
        """What ``enhance`` takes; constant data needs this once. Here the data itself."""
        return x

    def enhance(self, spectrum: Tensor) -> Tensor:
        """The features that the linear maps see, from what ``spectrum`` returned."""
        return spectrum

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, in) -> mu, logvar, each (B, L)."""
        hidden = self.model(self.enhance(self.spectrum(x)))
        return self.mu_transformation(hidden), self.logvar_transformation(hidden)

    @torch.no_grad()
    def mean(self, x: Tensor) -> Tensor:
        """mu (N, L) alone, for evaluation: the gains, a symmetric map, are put on the weight instead of on N rows."""
        mu = heads(self)[0]
        if len(self.model):
            return mu(self.model(self.enhance(self.spectrum(x))))
        return nn.functional.linear(x, self.enhance(self.spectrum(mu.weight.detach())), mu.bias)


def heads(encoder: Encoder) -> list[nn.Linear]:
    """The linear maps to mu and to logvar."""
    pair = encoder.mu_transformation, encoder.logvar_transformation
    return [head[0] if isinstance(head, nn.Sequential) else head for head in pair]


class FrequencyEncoder(Encoder):
    """FS-VAE's encoder: a gain per DCT coefficient of the features, then as ``Encoder``.

    The control values are parameters, as in published files, but only ``k`` and ``freq_weights`` are learned.
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
        self._controls: tuple[bool, int, int, int] | None = None
        self.register_load_state_dict_post_hook(_forget_controls)

    def _head(self, inner: int, outer: int) -> nn.Module:
        return nn.Linear(inner, outer)

    def controls(self) -> tuple[bool, int, int, int]:
        """Switch, number of bands, split and m as Python values; read from the device once, as they never change."""
        if self._controls is None:
            bands, split, m = (int(value) for value in (self.num_freq_bands, self.split_freq, self.m))
            self._controls = bool(self.dct_enhancement), bands, split, m
        return self._controls

    def spectrum(self, x: Tensor) -> Tensor:
        return dct(x) if self.controls()[0] else x

    def gain(self, width: int) -> Gain | None:
        """The gains as the parameters are now; None where they are switched off."""
        enabled, bands, split, m = self.controls()
        return Gain(width, self.k, self.freq_weights, bands, split, m) if enabled else None

    def enhance(self, spectrum: Tensor) -> Tensor:
        gain = self.gain(spectrum.shape[-1])
        return spectrum if gain is None else gain.apply(spectrum)


def _forget_controls(encoder: FrequencyEncoder, _) -> None:
    encoder._controls = None


def build(variant: str, vis_dim: int, text_dim: int, latent: int) -> nn.ModuleDict:
    """The four networks ``se``, ``sd``, ``te``, ``td`` of a variant ("msf" or "fsvae"), freshly initialised.

    Draws from torch's default generator in the published order.
    """
    encoder = FrequencyEncoder if variant == "fsvae" else Encoder
    return nn.ModuleDict({
        "se": encoder([vis_dim, latent]),
        "sd": Decoder([latent, vis_dim]),
        "te": encoder([text_dim, latent]),
        "td": Decoder([latent, text_dim]),
    })  # fmt: skip
