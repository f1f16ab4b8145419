"""ST-GCN++ frame by frame; ``skeleton_lab.nn.continual`` derives it.

Its graphs are parameters, so the graph unit looks at one frame at a time; of the temporal unit the branch of the
largest reach decides how late a block is.
"""

from __future__ import annotations

from torch import Tensor

from model import blocks, stgcnpp
from skeleton_lab.nn.continual import Chain, Framewise, Joined, Node, Parts, beside, node, parts, residual_block


@node.register(blocks.UnitTCN)
def _unit_tcn(unit: blocks.UnitTCN) -> Node:
    return Chain([node(unit.conv), node(unit.bn)])


@node.register(blocks.MSTCN)
def _mstcn(unit: blocks.MSTCN) -> Node:
    return Chain([Joined([node(branch) for branch in unit.branches], beside), Framewise(unit.finish)])


@node.register(stgcnpp.Block)
def _block(block: stgcnpp.Block) -> Node:
    return residual_block([Framewise(block.gcn), node(block.tcn)], block.residual)


@parts.register(stgcnpp.Model)
def _network(network: stgcnpp.Model) -> Parts:
    backbone = network.backbone

    def bodies(x: Tensor) -> Tensor:
        return blocks.bodies_of(x, backbone.data_bn).permute(0, 2, 3, 1)

    return Parts(Chain([Framewise(bodies), *map(node, backbone.gcn)]), network.cls_head.fc_cls)
