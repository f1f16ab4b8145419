"""Heads on features and descriptors, against plain NumPy and against what each of them promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skeleton_lab.nn.fusion import AttentionPool, CoLearning, GatedFusion, LateFusion, MeanPool, Probe, Standardise

B, T, D, FEATURES, K = 5, 4, 6, 7, 3


@pytest.fixture
def items() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, descriptors, which are there (the last item has none), labels."""
    torch.manual_seed(0)
    there = torch.rand(B, T) < 0.6
    there[:, 0], there[-1] = True, False
    return torch.randn(B, FEATURES), torch.randn(B, T, D), there, torch.arange(B) % K


def test_pools_look_only_at_what_is_there(items):
    _, x, there, _ = items
    torch.manual_seed(1)
    attention = AttentionPool(D)
    mean, weighed = MeanPool()(x, there).numpy(), attention(x, there).detach().numpy()
    for item in range(B - 1):
        rows = x[item][there[item]]
        np.testing.assert_allclose(mean[item], rows.numpy().mean(0), atol=1e-6)
        score = np.tanh(
            rows.numpy() @ attention.query.weight.detach().numpy().T + attention.query.bias.detach().numpy()
        )
        score = np.exp(score @ attention.weight.weight.detach().numpy()[0])
        np.testing.assert_allclose(weighed[item], score @ rows.numpy() / score.sum(), atol=1e-6)
    assert not mean[-1].any() and not weighed[-1].any()
    other = torch.where(there[..., None], x, 1e6)
    torch.testing.assert_close(attention(other, there), attention(x, there))


def test_a_gate_lets_the_skeleton_decide_where_nothing_is_known(items):
    f, x, there, _ = items
    torch.manual_seed(2)
    net = GatedFusion(FEATURES, D, K, hidden=8).eval()
    alone = net.classifier(torch.tanh(net.skeleton(f)))
    logits = net(f, x, there)
    torch.testing.assert_close(logits[-1], alone[-1])
    assert not torch.isclose(logits[:-1], alone[:-1]).all(1).any()
    torch.testing.assert_close(net(f, x, torch.zeros_like(there)), alone)


def test_modality_dropout_drops_that_share_and_only_in_training(items):
    f, x, _, _ = items
    torch.manual_seed(3)
    net = GatedFusion(FEATURES, D, K, hidden=8, drop=0.3)
    net.classifier[0].p = 0.0
    many = [each[:1].expand(4000, *each.shape[1:]) for each in (f, x, torch.ones(B, T, dtype=torch.bool))]
    alone = net.classifier(torch.tanh(net.skeleton(f[:1])))
    dropped = torch.isclose(net(*many), alone, atol=1e-6).all(1).float().mean()
    assert 0.27 < dropped < 0.33
    assert not torch.isclose(net.eval()(*many), alone, atol=1e-6).all(1).any()


def test_co_learning_needs_no_descriptor_in_a_test_and_learns_from_those_there_are(items):
    f, x, there, y = items
    torch.manual_seed(4)
    net = CoLearning(FEATURES, D, K, hidden=8).eval()
    torch.testing.assert_close(net(f, x, there), net(f, torch.zeros(B, 1, D), torch.zeros(B, 1, dtype=torch.bool)))
    plain = F.cross_entropy(net(f, x, there), y)
    torch.testing.assert_close(net.loss(f, x, torch.zeros_like(there), y), plain)
    told = net.says(net.hidden(f)).detach().numpy()[:-1]
    goal = np.stack([x[item][there[item]].numpy().mean(0) for item in range(B - 1)])
    away = 1 - (told * goal).sum(1) / np.linalg.norm(told, axis=1) / np.linalg.norm(goal, axis=1)
    assert (net.loss(f, x, there, y) - plain).item() == pytest.approx(away.mean(), abs=1e-5)


def test_a_probe_sees_no_skeleton(items):
    f, x, there, _ = items
    for hidden in (0, 8):
        net = Probe(FEATURES, D, K, hidden).eval()
        torch.testing.assert_close(net(f, x, there), net(-f, x, there))


def test_late_fusion_trusts_whoever_is_right_on_held_out_clips():
    rng = torch.Generator().manual_seed(5)
    y = torch.randint(K, (300,), generator=rng)
    good, bad = 4 * F.one_hot(y, K).float(), torch.randn(300, K, generator=rng)
    known = torch.ones(300, dtype=torch.bool)
    assert LateFusion.fitted(good, bad, known, y).weight < 0.1 and LateFusion.fitted(bad, good, known, y).weight > 0.9
    made = LateFusion()(good, bad, known).exp()
    torch.testing.assert_close(made, (good.softmax(1) + bad.softmax(1)) / 2)
    known[:10] = False
    torch.testing.assert_close(LateFusion(0.9)(good, bad, known)[:10].exp(), good[:10].softmax(1))


def test_scales_are_those_of_the_training_clips_and_constant_values_do_no_harm():
    x = 5 + 3 * torch.randn(200, D)
    x[:, 2] = 7
    scale = Standardise(D)
    scale.fit(x)
    made = scale(x).numpy()
    np.testing.assert_allclose(
        np.delete(made, 2, 1), np.delete(((x - x.mean(0)) / x.std(0, correction=0)).numpy(), 2, 1), atol=1e-5
    )
    assert not made[:, 2].any()
    assert not scale(x + torch.arange(D))[:, 2].any()  # nor where it is another in a test: nothing was learned about it
    scale.fit(x[:1])
    assert not scale(x).any()
