"""ST-GCN frame by frame; ``skeleton_lab.nn.continual`` derives it.

Its graphs are fixed after training, so a graph unit looks at one frame at a time.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from net import st_gcn
from skeleton_lab.nn.continual import Chain, Framewise, Node, Parts, node, parts, residual_block


def block_node(block: st_gcn.st_gcn, A: Tensor) -> Node:
    return residual_block([Framewise(lambda x: block.gcn(x, A)[0]), node(block.tcn)], block.residual)


@parts.register(st_gcn.Model)
def _network(network: st_gcn.Model) -> Parts:
    importances: Any = network.edge_importance
    blocks = [block_node(b, network.A * weight) for b, weight in zip(network.st_gcn_networks, importances)]
    return Parts(Chain([Framewise(network.normalised), *blocks]), lambda x: network.fcn(x[..., None, None]).flatten(1))
