"""Whether maps depend on what the network has learned, and whether two methods agree: rank correlations of maps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from skeleton_lab.engine.network import make_net
from skeleton_lab.explain.attribution import Maps, Question
from skeleton_lab.inference.network import Network
from skeleton_lab.nn.fuse import unfuse

STAGES = (0.25, 0.5, 0.75, 1.0)  # shares of the layers, from the classifier down, that begin anew


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's, of all values of two arrays; equal values share a rank. None where one array is constant."""
    x, y = (_ranks(each.ravel()) for each in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return (ends - (counts - 1) / 2)[which.ravel()]


def agreement(a: np.ndarray, b: np.ndarray, persons: tuple[int, ...]) -> float | None:
    """Rank correlation of two maps (M, P, W) over the cells of the people who are there."""
    return rank_correlation(a[list(persons)], b[list(persons)])


def randomised(net: nn.Module, fresh: nn.Module) -> Iterator[tuple[float, nn.Module]]:
    """The network with more and more of its layers as ``fresh`` has them, from the classifier down.

    The cascading randomisation of Adebayo et al. 2018, section 3.1. A layer is what owns parameters or statistics, in
    the order in which the network lists them.

    Returns:
        The share of the layers, and a copy of the network, for each of ``STAGES``.
    """
    made, begun = copy.deepcopy(net), 0
    layers, new = ([each for each in one.modules() if _owns(each)] for one in (made, fresh))
    for share in STAGES:
        count = max(1, round(share * len(layers)))
        for layer, other in list(zip(layers, new))[::-1][begun:count]:
            with torch.no_grad():
                for mine, random in zip(_owned(layer), _owned(other)):
                    mine.copy_(random)
        begun = count
        yield count / len(layers), made


def _owned(layer: nn.Module) -> list[torch.Tensor]:
    return [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]


def _owns(layer: nn.Module) -> bool:
    return bool(_owned(layer))


def check(
    ask: Question, fresh: nn.Module, trained: Maps, persons: tuple[int, ...], explain: Callable[[Question], Maps]
) -> list[dict[str, Any]]:
    """How much maps of networks with random layers are like those of the trained one.

    Args:
        fresh: the network with the start of a training; explain: maps of the same clip and class by another network.

    Returns:
        For each stage the ``share`` of random layers, and by method the rank correlation with the trained network's
        map. From 0 down is sound; near 1 the map shows the clip, not what was learned.
    """
    rows = []
    for share, net in randomised(ask.net, fresh):
        other = explain(ask.of(net))
        alike = {method: agreement(trained.of[method], other.of[method], persons) for method in trained.of}
        rows.append({"share": share, **alike})
    return rows


def fresh(network: Network, seed: int) -> nn.Module:
    """The network of a configuration as a training would begin with it, in its plain form, on the same device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = make_net(network.options)
        initialise = network.options.recipe.initialise
        if initialise is not None:
            initialise(made)
    return unfuse(made).to(network.runtime.device).eval()
