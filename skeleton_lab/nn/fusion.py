"""A skeleton's features and descriptors of images in one classifier, one idea a class.

Heads stand on the pooled feature f (B, F) in front of a network's classifier, and on descriptors x (B, T, D), of which
``there`` (B, T) says which exist; a clip may have none.  All are called ``head(f, x, there)`` and give logits (B, K).

    Probe         descriptors alone: a linear map, or one hidden layer
    GatedFusion   both, weighed against each other unit by unit; trained with descriptors dropped now and then
    CoLearning    the skeleton alone, that in training also learns to say the descriptor
    LateFusion    the probabilities of two networks, added up
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 256
QUERY = 64  # units of the attention that weighs moments
STEPS = 20  # of weights that late fusion tries


class Standardise(nn.Module):
    """Each of the values (..., size) brought to mean 0 and variance 1, by what it is over the training clips."""

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, values: Tensor) -> None:
        """By values (N, size), N > 0; one that never changes here is 0 for ever, whatever it is in a test."""
        deviation, self.mean = torch.std_mean(values.float(), 0, correction=0)
        changes = deviation > 1e-6 * self.mean.abs()  # more than rounding makes of equal ones
        self.scale = torch.where(changes, 1 / deviation.clamp(min=1e-3 * float(deviation.max())), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


class MeanPool(nn.Module):
    """(B, T, D) -> (B, D): the mean over the moments that are there, zeros without any."""

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        weight = there.to(x.dtype)[..., None]
        return (x * weight).sum(1) / weight.sum(1).clamp(min=1)


class AttentionPool(nn.Module):
    """(B, T, D) -> (B, D): a mean weighed by what a small network makes of each moment (Ilse et al. 2018, eq. 8)."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.query = nn.Linear(D, QUERY)
        self.weight = nn.Linear(QUERY, 1, bias=False)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        score = self.weight(torch.tanh(self.query(x)))[..., 0].masked_fill(~there, -1e9)
        weight = score.softmax(1) * there  # nothing where nothing is there
        return (x * weight[..., None]).sum(1)


class Head(nn.Module):
    """What all heads share: features and descriptors of any scale, descriptors pooled over time, and a loss.

    ``features`` and ``descriptors`` are to be fitted to the training clips before a head is trained.
    """

    def __init__(self, features: int, D: int, attention: bool) -> None:
        super().__init__()
        self.features, self.descriptors = Standardise(features), Standardise(D)
        self.pool = AttentionPool(D) if attention else MeanPool()

    def pooled(self, x: Tensor, there: Tensor) -> Tensor:
        """(B, D): standardised, then pooled."""
        return self.pool(self.descriptors(x), there)

    def loss(self, f: Tensor, x: Tensor, there: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self(f, x, there), y)


class Probe(Head):
    """Descriptors alone: a linear classifier of the pooled descriptor, or one with a hidden layer.

    Args:
        features: of the skeleton, not looked at; D: values of a descriptor; classes: K.
        hidden: units of the hidden layer, 0 for none; attention: over time, instead of the mean.
    """

    def __init__(self, features: int, D: int, classes: int, hidden: int = 0, attention: bool = False) -> None:
        super().__init__(features, D, attention)
        layers = [nn.Linear(D, hidden), nn.ReLU(), nn.Dropout(0.5)] if hidden else []
        self.classifier = nn.Sequential(*layers, nn.Linear(hidden or D, classes))

    def forward(self, f: Tensor, x: Tensor, there: Tensor) -> Tensor:
        return self.classifier(self.pooled(x, there))


class GatedFusion(Head):
    """Gated multimodal units (Arevalo et al. 2017): z tanh(A f) + (1 - z) tanh(B d), z = sigmoid(C [f, d]).

    Where a clip has no descriptor, z is 1 and the skeleton decides. In training that happens to a share ``drop`` of the
    clips that have one (modality dropout, Neverova et al. 2016), so that the network can do without.
    """

    def __init__(
        self, features: int, D: int, classes: int, hidden: int = HIDDEN, drop: float = 0.3, attention: bool = True
    ) -> None:
        super().__init__(features, D, attention)
        self.drop = drop
        self.skeleton, self.descriptor = nn.Linear(features, hidden), nn.Linear(D, hidden)
        self.gate = nn.Linear(features + D, hidden)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(hidden, classes))

    def forward(self, f: Tensor, x: Tensor, there: Tensor) -> Tensor:
        f, d, known = self.features(f), self.pooled(x, there), there.any(1)
        if self.training:
            known = known & (torch.rand(len(f), device=f.device) >= self.drop)
        z = torch.sigmoid(self.gate(torch.cat([f, d], 1)))
        z = torch.where(known[:, None], z, 1.0)
        return self.classifier(z * torch.tanh(self.skeleton(f)) + (1 - z) * torch.tanh(self.descriptor(d)))


class CoLearning(Head):
    """The skeleton alone, which learns from descriptors: its hidden layer also has to say the pooled descriptor.

    In training the cosine distance to the clip's descriptor, where it has one, is added to the loss (modality
    hallucination, Hoffman et al. 2016). A test needs no descriptor.
    """

    def __init__(self, features: int, D: int, classes: int, hidden: int = HIDDEN, weight: float = 1.0) -> None:
        super().__init__(features, D, attention=False)
        self.weight = weight
        self.skeleton, self.says = nn.Linear(features, hidden), nn.Linear(hidden, D)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(hidden, classes))

    def forward(self, f: Tensor, x: Tensor, there: Tensor) -> Tensor:
        return self.classifier(self.hidden(f))

    def hidden(self, f: Tensor) -> Tensor:
        return torch.tanh(self.skeleton(self.features(f)))

    def loss(self, f: Tensor, x: Tensor, there: Tensor, y: Tensor) -> Tensor:
        h, known = self.hidden(f), there.any(1).to(f.dtype)
        away = 1 - F.cosine_similarity(self.says(h), self.pooled(x, there), dim=1)
        return F.cross_entropy(self.classifier(h), y) + self.weight * (away * known).sum() / known.sum().clamp(min=1)


class LateFusion:
    """(1 - w) p + w q of the class probabilities p of the skeleton and q of the descriptors; p where there are none.

    Args:
        weight: w from 0 to 1; 0.5 is the 1:1 that needs no data.
    """

    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight

    def __call__(self, skeleton: Tensor, descriptor: Tensor, known: Tensor) -> Tensor:
        """Logarithms of probabilities (N, K) of logits (N, K) twice; ``known`` (N,) says who has a descriptor."""
        w = self.weight * known.to(skeleton.dtype)[:, None]
        p, q = skeleton.softmax(1), descriptor.softmax(1)
        return ((1 - w) * p + w * q).clamp(min=torch.finfo(p.dtype).tiny).log()

    @classmethod
    def fitted(cls, skeleton: Tensor, descriptor: Tensor, known: Tensor, y: Tensor) -> LateFusion:
        """The weight, in steps of 0.05, by which clips that neither network was trained on are the likeliest."""
        tried = [cls(step / STEPS) for step in range(STEPS + 1)]
        losses = [float(F.nll_loss(each(skeleton, descriptor, known), y)) for each in tried]
        return tried[losses.index(min(losses))]
