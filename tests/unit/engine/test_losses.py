"""Losses against published values and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity.protocol import values

from skeleton_lab import registry
from skeleton_lab.engine.losses import Criterion, cross_entropy

divergence, of_output = (registry.load("Hyper-GCN", f"recipe.{name}") for name in ("divergence", "of_output"))
X = torch.from_numpy(3 * values("check.logits", (4, 6)))
Y = torch.tensor([0, 5, 2, 2])
H1, H2 = (torch.from_numpy(values(name, (5, 7))) for name in ("check.h1", "check.h2"))


def test_check_values():
    assert float(cross_entropy(X, Y)) == pytest.approx(2.565865, abs=2e-6)
    assert float(cross_entropy(X, Y, 0.1)) == pytest.approx(2.518251, abs=2e-6)
    assert float(divergence([H1, H2])) == pytest.approx(0.117487, abs=2e-6)
    assert float(divergence([H1])) == pytest.approx(0.072521, abs=2e-6)


def test_smoothing_is_the_formula():
    log_p = X.log_softmax(1)
    expected = 0.9 * -log_p[range(4), Y].mean() + 0.1 * -log_p.mean(1).mean()
    torch.testing.assert_close(cross_entropy(X, Y, 0.1), expected)


def test_divergence_of_blocks_of_different_width():
    """Against the double loop of the definition; V comes from the first matrix."""
    h = [H1, H2[:, :3], H2]
    total = 0.0
    for m in (m.double().numpy() for m in h):
        for a in m:
            for b in m:
                total += max(0.0, a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-8))
        total -= len(m)
    assert float(divergence(h)) == pytest.approx(total / (5 * 4 * 3), rel=1e-5)


def test_divergence_of_one_joint_is_zero():
    assert float(divergence([H1[:1]])) == 0.0


def test_criterion_adds_divergence_to_tuples_only():
    plain, diverging = Criterion(0.1), Criterion(0.1, of_output)
    assert torch.equal(plain((X, [H1]), Y), plain(X, Y))
    assert torch.equal(diverging(X, Y), plain(X, Y))
    torch.testing.assert_close(diverging((X, [H1]), Y), plain(X, Y) + divergence([H1]))


def test_losses_of_batches_count_the_last_one_fully():
    losses = Criterion().of_batches(X, Y, 3)
    assert losses == pytest.approx([float(cross_entropy(X[:3], Y[:3])), float(cross_entropy(X[3:], Y[3:]))])
