"""Twins of the encoders: what constant features need once is apart from what every step does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skeleton_lab.nn.fuse import fuses
from skeleton_lab.zero_shot.model import frequency, vae
from skeleton_lab.zero_shot.model.fused.spectrum import Gain, dct


@fuses(vae.Encoder)
class FusedEncoder(vae.Encoder):
    def spectrum(self, x: Tensor) -> Tensor:
        """What ``from_spectrum`` takes; constant data needs this once. Here the data itself."""
        return x

    def from_spectrum(self, spectrum: Tensor) -> Tensor:
        """The features that the linear maps see, from what ``spectrum`` returned."""
        return spectrum


@fuses(frequency.FrequencyEncoder)
class FusedFrequencyEncoder(frequency.FrequencyEncoder):
    def spectrum(self, x: Tensor) -> Tensor:
        return dct(x) if self.controls[0] else x

    def gain(self) -> Gain | None:
        """The gains as the parameters are now; None where they are switched off."""
        return Gain(self.k, self.freq_weights, self.slope, self.band) if self.controls[0] else None

    def from_spectrum(self, spectrum: Tensor) -> Tensor:
        gain = self.gain()
        return spectrum if gain is None else gain.apply(spectrum)

    def enhance(self, x: Tensor) -> Tensor:
        return self.from_spectrum(self.spectrum(x))

    @torch.no_grad()
    def mean(self, x: Tensor) -> Tensor:
        """mu (N, L): the gains, a symmetric map, are put on the weight instead of on N rows."""
        mu = heads(self)[0]
        if len(self.model):
            return mu(self.model(self.enhance(x)))
        return nn.functional.linear(x, self.enhance(mu.weight.detach()), mu.bias)


def heads(encoder: vae.Encoder) -> list[nn.Linear]:
    """The linear maps to mu and to logvar."""
    pair = encoder.mu_transformation, encoder.logvar_transformation
    return [head[0] if isinstance(head, nn.Sequential) else head for head in pair]
