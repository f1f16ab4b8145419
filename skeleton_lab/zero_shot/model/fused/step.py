"""The loss of a step and its gradients, written out.

Four linear maps, two exponentials and a few sums need no graph: written out, a step is half as long as with autograd.
Terms of weight 0 are not computed, classes are encoded once, and both inputs of a decoder are one product.

Equals the plain ``losses`` of ``variants`` and their gradients.  Term by term, for B samples:

- mean squared error over B * width entries: d out = 2 (out - target) / (B width);
- calibrated, c = mean of sigma_b = sigmoid(x_b / lmd), x_b = |t_b - own_b|^2 - |t_b - other_b|^2 (FS-VAE's text term;
  the other has no second part): dx_b = sigma_b (1 - sigma_b) / (B lmd), d own_b = 2 (own_b - t_b) dx_b and
  d other_b = -2 (other_b - t_b) dx_b, added to the row of ``own`` that the permutation took ``other_b`` from;
- a decoder relu(W z + b): with the slope where relu let it through, dW = slope^T z, db = sum slope, dz = slope W;
- z = mu + eps d, d = exp(logvar / 2): dmu = dz, dlogvar = dz eps d / 2;
- KL with weight w, w / 2B sum (mu^2 + d^2 - 1 - logvar): dmu = w mu / B, dlogvar = w (d^2 - 1) / 2B;
- an encoder W x + b on gained features: dW = slope^T x, db = sum slope; the gains get slope W, see ``Gain``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_lab.zero_shot.model.frequency import FrequencyEncoder
from skeleton_lab.zero_shot.model.fused.packed import Linear, Packed
from skeleton_lab.zero_shot.model.fused.spectrum import Gain
from skeleton_lab.zero_shot.model.objective import Objective, Weights


@dataclass
class Batch:
    """A batch as a step gets it: what is constant has been transformed already (``FusedEncoder.spectrum``).

    Shapes: s (B, V), t (B, D) targets; s_spectrum (B, V); t_spectrum (C, D) of classes, ``rows`` (B,) the class row
    of each sample, or None where row b is sample b; eps (2, B, 1) of s and t; permutation (B,).
    """

    s: Tensor
    t: Tensor
    s_spectrum: Tensor
    t_spectrum: Tensor
    rows: Tensor | None
    eps: Tensor
    permutation: Tensor


@dataclass
class _Latent:
    """What the way back needs of an encoder; B rows, C rows of classes in front of ``rows``."""

    x: Tensor  # (C, in) what the linear maps got
    mu: Tensor  # (B, L)
    deviation: Tensor  # (B, L)
    z: Tensor  # (B, L)
    eps: Tensor  # (B, 1)
    rows: Tensor | None
    spectrum: Tensor
    gain: Gain | None


class Step:
    """``step(batch, weights)`` returns the terms and leaves the gradients in ``packed.vector.grad``."""

    def __init__(self, packed: Packed, objective: Objective):
        self.packed, self.objective = packed, objective

    @torch.no_grad()
    def __call__(self, batch: Batch, weights: Weights) -> dict[str, Tensor]:
        """The terms that count, by name, and their sum ``loss``; () each.

        Names: s_recons, t_recons, s_kld, t_kld (each minus the KL divergence), s_crecons, t_crecons (MSF), s_cali,
        t_cali (FS-VAE).
        """
        s = self._encode("se", batch.s_spectrum, None, batch.eps[0])
        t = self._encode("te", batch.t_spectrum, batch.rows, batch.eps[1])
        cross = self.objective.cross_weight(weights)
        negatives = batch.permutation if self.objective.variant == "fsvae" else None
        found, loss = {}, 0.0
        back = {}
        for name, own, other, target in (("s", s, t, batch.s), ("t", t, s, batch.t)):
            linear = self.packed.linear[f"{name}d"]
            z = torch.cat([own.z, other.z]) if cross else own.z
            out = torch.addmm(linear.bias, z, linear.weight.t()).relu_()
            told, slope = self._reconstruction(name, out, target, cross, negatives if name == "t" else None)
            found.update(told)
            back[name] = _through(linear, slope, out, z).split(len(target))
        loss = found["s_recons"] + found["t_recons"]
        if cross:
            loss = loss + cross * sum(value for key, value in found.items() if key.endswith(("crecons", "cali")))
        for name, latent, weight in (("s", s, weights.skeleton_kld), ("t", t, weights.text_kld)):
            other = back["t" if name == "s" else "s"]
            dz = back[name][0] + other[1] if cross else back[name][0]
            if weight:
                found[f"{name}_kld"] = _minus_kld(latent)
                loss = loss - weight * found[f"{name}_kld"]
            self._encoder_back(f"{name}e", latent, dz, weight)
        found["loss"] = loss
        return found

    def _encode(self, name: str, spectrum: Tensor, rows: Tensor | None, eps: Tensor) -> _Latent:
        encoder, linear, gain, x = self.packed.networks[name], self.packed.linear[name], None, spectrum
        if isinstance(encoder, FrequencyEncoder):
            gain = encoder.gain()
            x = gain.apply(spectrum) if gain is not None else spectrum
        both = torch.addmm(linear.bias, x, linear.weight.t())
        if rows is not None:
            both = both.index_select(0, rows)
        mu, logvar = both.chunk(2, 1)
        deviation = (0.5 * logvar).exp_()
        return _Latent(x, mu, deviation, torch.addcmul(mu, eps, deviation), eps, rows, spectrum, gain)

    def _reconstruction(
        self, name: str, out: Tensor, target: Tensor, cross: float, negatives: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Terms of a decoder, and the slope of the loss at ``out`` (B, width), with ``cross`` (2 B, width)."""
        count = len(target)
        entries = target.numel()
        if not cross:
            slope = out - target
            return {f"{name}_recons": _squares(slope) / entries}, slope.mul_(2 / entries)
        slope = out - target.repeat(2, 1)
        own, crossed = slope[:count], slope[count:]
        found = {f"{name}_recons": _squares(own) / entries}
        if self.objective.variant == "msf":
            found[f"{name}_crecons"] = _squares(crossed) / entries
            own.mul_(2 / entries)
            crossed.mul_(2 * cross / entries)
            return found, slope
        lmd = self.objective.lmd
        distance = crossed.square().sum(1, keepdim=True)
        if negatives is not None:
            wrong = out[count:].index_select(0, negatives) - target
            distance = distance - wrong.square().sum(1, keepdim=True)
        share = torch.sigmoid(distance / lmd)
        found[f"{name}_cali"] = share.mean()
        steep = share * (1 - share) * (2 * cross / (count * lmd))
        own.mul_(2 / entries)
        crossed.mul_(steep)
        if negatives is not None:
            crossed.index_add_(0, negatives, wrong.mul_(-steep))
        return found, slope

    def _encoder_back(self, name: str, latent: _Latent, dz: Tensor, kld: float) -> None:
        """From the slope at z, and the weight of the KL divergence, to the gradients of an encoder."""
        encoder, linear, count = self.packed.networks[name], self.packed.linear[name], len(dz)
        slope = torch.cat([dz, dz * latent.deviation * (0.5 * latent.eps)], 1)
        if kld:
            slope[:, : dz.shape[1]].add_(latent.mu, alpha=kld / count)
            slope[:, dz.shape[1] :].add_(latent.deviation.square().sub_(1), alpha=0.5 * kld / count)
        if latent.rows is not None:
            slope = slope.new_zeros(len(latent.x), slope.shape[1]).index_add_(0, latent.rows, slope)
        torch.mm(slope.t(), latent.x, out=linear.weight_grad)
        torch.sum(slope, 0, out=linear.bias_grad)
        if latent.gain is not None:
            k, bands = latent.gain.gradients(latent.spectrum, slope @ linear.weight)
            self.packed.grad(encoder.k).copy_(k)
            self.packed.grad(encoder.freq_weights).copy_(bands)


def _squares(x: Tensor) -> Tensor:
    """The sum of squares, (); ``x`` is contiguous."""
    flat = x.view(-1)
    return flat.dot(flat)


def _minus_kld(latent: _Latent) -> Tensor:
    """Minus the KL divergence of N(mu, deviation^2) from N(0, 1): summed over L, mean over B."""
    variance = latent.deviation.square()
    return 0.5 * (1 + variance.log() - latent.mu.square() - variance).sum() / len(variance)


def _through(linear: Linear, slope: Tensor, out: Tensor, z: Tensor) -> Tensor:
    """Gradients of a decoder from the slope at its output; returns the slope at its input."""
    slope = torch.ops.aten.threshold_backward(slope, out, 0)
    torch.mm(slope.t(), z, out=linear.weight_grad)
    torch.sum(slope, 0, out=linear.bias_grad)
    return slope @ linear.weight
