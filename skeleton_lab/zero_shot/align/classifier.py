"""The classifier of unseen classes: trained on latents drawn for their texts, used on the latents of sequences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skeleton_lab.zero_shot.model.vae import MLP

REPEATS = 500  # latents per class
STEPS = 300
RATE = 1e-3


@torch.no_grad()
def _lines(te: nn.Module, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (S, L) of the latent of each class; its latents lie on one line, mu + eps s."""
    mu, logvar = te(texts)
    return mu, (0.5 * logvar).exp()


def fit(te: nn.Module, texts: Tensor) -> MLP:
    """A fresh classifier of S classes: 300 steps of Adam on 500 latents per class, drawn once.

    All latents of a class lie on a line, so their logits do too: before the ReLU those of the latent with noise eps are
    ``A + eps G`` with A and G of S x S entries, and a step costs 500 S^2 instead of 500 S^2 L.

    Args:
        te: text encoder.
        texts: (S, D), rows in the order of the columns of the classifier.
    """
    count = len(texts)
    mu, deviation = _lines(te, texts)
    classifier = MLP([mu.shape[1], count])  # on the CPU, as its noise: drawn alike for every device
    eps = torch.randn(REPEATS * count, 1).view(REPEATS, count, 1).to(texts.device)
    classifier.to(texts.device)
    linear = classifier.model[0]
    target = torch.arange(count, device=texts.device).repeat(REPEATS)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=RATE)
    for _ in range(STEPS):
        both = nn.functional.linear(torch.cat([mu, deviation]), linear.weight)
        logits = (both[:count] + linear.bias + eps * both[count:]).relu()
        loss = nn.functional.cross_entropy(logits.view(-1, count), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return classifier


@torch.no_grad()
def probabilities(se: nn.Module, classifier: MLP, features: Tensor) -> Tensor:
    """(N, S): softmax of the logits at the mean of the latent of each sequence (N, V); columns sum to 1 per row."""
    return classifier(se.mean(features)).softmax(1)


@dataclass(frozen=True)
class Score:
    """Accuracy over sequences (not a mean over classes), and the predicted column of each (N,)."""

    accuracy: float
    columns: Tensor


@torch.no_grad()
def score(se: nn.Module, classifier: MLP, features: Tensor, columns: Tensor) -> Score:
    """Zero-shot accuracy on features (N, V) of true columns (N,); ties go to the first column."""
    answered = classifier(se.mean(features)).argmax(1)
    return Score((answered == columns).double().mean().item(), answered)
