"""The published zero-shot trainers, plainly: a loop over items, sliced frequency bands, every term in every step.

The oracle of ``skeleton_lab.zero_shot`` and what its speed is measured against. Networks carry the published names, so
weights can be exchanged.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """MSF-GZSSAR's: mean and log variance, each a linear map."""

    def __init__(self, sizes: tuple[int, int]):
        super().__init__()
        self.mu_transformation = nn.Sequential(nn.Linear(*sizes))
        self.logvar_transformation = nn.Sequential(nn.Linear(*sizes))
        _initialise(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu_transformation(x), self.logvar_transformation(x)


class FrequencyEncoder(nn.Module):
    """FS-VAE's: gains of thirty bands between a DCT and its inverse, band after band, in place."""

    def __init__(self, sizes: tuple[int, int]):
        super().__init__()
        for name, value in (
            ("dct_enhancement", 1.0),
            ("k", 0.3),
            ("num_freq_bands", 30.0),
            ("split_freq", 30.0),
            ("m", 1.0),
        ):
            setattr(self, name, nn.Parameter(torch.tensor(value)))
        self.freq_weights = nn.Parameter(torch.ones(30))
        self.mu_transformation = nn.Linear(*sizes)
        self.logvar_transformation = nn.Linear(*sizes)
        _initialise(self)
        self.edges = [int(edge) for edge in torch.linspace(0, sizes[0] - 1, 31)]

    def enhance(self, x: Tensor) -> Tensor:
        spectrum = dct(x)
        enhanced = spectrum.clone()
        for i in range(int(self.num_freq_bands.item())):
            low, high = self.edges[i], self.edges[i + 1]
            nb, m = self.num_freq_bands.item(), int(self.m.item())
            if high <= self.split_freq.item():
                gain = 1 + self.freq_weights[i] * self.k * (1 - i / nb)
            else:
                gain = 1 - self.freq_weights[i] * self.k * (1 - (i - nb // m) / nb)
            enhanced[:, low:high] = spectrum[:, low:high] * gain
        return idct(enhanced)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.dct_enhancement.item():
            x = self.enhance(x)
        return self.mu_transformation(x), self.logvar_transformation(x)


class Decoder(nn.Module):
    def __init__(self, sizes: tuple[int, int]):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(*sizes), nn.ReLU())
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=0.5)
            nn.init.constant_(module.bias, 0)


def dct(x: Tensor) -> Tensor:
    """Orthonormal DCT-II of rows, by a complex FFT, as published."""
    width = x.shape[1]
    v = torch.cat([x[:, ::2], x[:, 1::2].flip([1])], dim=1)
    spectrum = torch.view_as_real(torch.fft.fft(v, dim=1))
    angle = -torch.arange(width, dtype=x.dtype)[None, :] * math.pi / (2 * width)
    found = spectrum[:, :, 0] * torch.cos(angle) - spectrum[:, :, 1] * torch.sin(angle)
    scale = torch.full((width,), math.sqrt(2 / width))
    scale[0] = math.sqrt(1 / width)
    return found * scale


def idct(spectrum: Tensor) -> Tensor:
    """Its inverse."""
    width = spectrum.shape[1]
    scale = torch.full((width,), math.sqrt(2 * width))
    scale[0] = math.sqrt(4 * width)
    x = spectrum * scale / 2
    angle = torch.arange(width, dtype=spectrum.dtype)[None, :] * math.pi / (2 * width)
    mirrored = torch.cat([x[:, :1] * 0, -x.flip([1])[:, :-1]], dim=1)
    real = x * torch.cos(angle) - mirrored * torch.sin(angle)
    imaginary = x * torch.sin(angle) + mirrored * torch.cos(angle)
    v = torch.fft.irfft(torch.complex(real, imaginary), n=width, dim=1)
    found = torch.zeros_like(v)
    found[:, ::2] = v[:, : width - (width // 2)]
    found[:, 1::2] = v.flip([1])[:, : width // 2]
    return found


class Sequences(torch.utils.data.Dataset):
    def __init__(self, features: np.ndarray, labels: np.ndarray):
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[np.ndarray, int]:
        return self.features[place], int(self.labels[place])


def build(variant: str, vis_dim: int, text_dim: int, latent: int) -> nn.ModuleDict:
    encoder = FrequencyEncoder if variant == "fsvae" else Encoder
    return nn.ModuleDict({
        "se": encoder((vis_dim, latent)), "sd": Decoder((latent, vis_dim)),
        "te": encoder((text_dim, latent)), "td": Decoder((latent, text_dim)),
    })  # fmt: skip


def loss_of(
    nets: nn.ModuleDict, s: Tensor, t: Tensor, variant: str, cycle: int, length: int, offset: int,
    alpha: float = 0.5, lmd: float = 100.0,
) -> Tensor:  # fmt: skip
    """The loss of a step, its noise drawn from the default generator; use_cr_fact 1."""
    late = 1400 if length == 1700 else 1500
    k_fact = max(0.1 * (offset - 1000) / 3000, 0)
    k_fact2 = max(0.1 * (offset - late) / 3000, 0) if cycle > 1 else 0
    cr_fact = 1 if offset > late else 0
    smu, slv = nets["se"](s)
    sz = smu + torch.randn(len(s), 1).expand(smu.shape) * torch.exp(0.5 * slv)
    sout = nets["sd"](sz)
    tmu, tlv = nets["te"](t)
    tz = tmu + torch.randn(len(s), 1).expand(tmu.shape) * torch.exp(0.5 * tlv)
    tout = nets["td"](tz)
    tfroms, sfromt = nets["td"](sz), nets["sd"](tz)
    s_recons, t_recons = nn.functional.mse_loss(s, sout), nn.functional.mse_loss(t, tout)
    s_kld = (0.5 * torch.sum(1 + slv - smu.pow(2) - slv.exp())) / len(s)
    t_kld = (0.5 * torch.sum(1 + tlv - tmu.pow(2) - tlv.exp())) / len(s)
    loss = s_recons + t_recons - k_fact * s_kld - k_fact2 * t_kld
    s_crecons, t_crecons = nn.functional.mse_loss(s, sfromt), nn.functional.mse_loss(t, tfroms)
    if variant == "msf":
        return loss + cr_fact * (s_crecons + t_crecons)
    permutation = torch.randperm(len(s))
    torch.randperm(len(s))
    negative = nets["td"](sz[permutation])
    own, other = ((t - tfroms) ** 2).sum(1), ((t - negative) ** 2).sum(1)
    t_cali = (1 / (1 + torch.exp(-(own - other) / lmd))).mean()
    s_cali = (1 / (1 + torch.exp(-((s - sfromt) ** 2).sum(1) / lmd))).mean()
    return loss + lmd * alpha * cr_fact * (t_cali + s_cali)


def train(
    nets: nn.ModuleDict, features: np.ndarray, labels: np.ndarray, table: np.ndarray, variant: str, cycle: int,
    length: int, offsets: range, losses: list[float],
) -> None:  # fmt: skip
    """Steps as published: a shuffled loader of all sequences, made for each step, of which one batch is taken."""
    optimizer = torch.optim.Adam([p for name in ("se", "sd", "te", "td") for p in nets[name].parameters()], lr=1e-4)
    loader = torch.utils.data.DataLoader(Sequences(features, labels), batch_size=64, shuffle=True)
    texts = torch.from_numpy(table)
    for offset in offsets:
        s, y = next(iter(loader))
        loss = loss_of(nets, s, texts[y], variant, cycle, length, offset)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
