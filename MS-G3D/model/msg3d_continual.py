"""MS-G3D frame by frame; ``skeleton_lab.nn.continual`` derives it.

Its graphs are fixed after training.  Windows of spacetime reach as far as half of them, like convolutions, and what
follows within a window looks at no other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model import msg3d
from skeleton_lab.nn.continual import Chain, Framewise, Joined, Node, Parts, Window, multi_scale, node, parts, summed


@node.register(msg3d.MultiScaleGraphConv)
def _graph_conv(unit: msg3d.MultiScaleGraphConv) -> Node:
    return Framewise(unit)


@node.register(msg3d.MSTCN)
def _mstcn(unit: msg3d.MSTCN) -> Node:
    return Chain([multi_scale(unit), Framewise(torch.relu)]) if unit.act else multi_scale(unit)


@node.register(msg3d.UnfoldWindows)
def _windows(windows: msg3d.UnfoldWindows) -> Node:
    W, stride = windows.window, windows.stride
    return Window(lambda x: x.unfold(2, W, stride).transpose(3, 4).flatten(3), W // 2, stride)


@node.register(msg3d.MSG3D)
def _collapse(unit: msg3d.MSG3D) -> Node:
    W = unit.gcn3d[0].window

    def collapsed(y: Tensor) -> Tensor:
        return unit.out_bn(unit.out_conv(y.unflatten(3, (W, -1))).squeeze(3))

    return Chain([node(unit.gcn3d), Framewise(collapsed)])


@node.register(msg3d.MultiWindowMSG3D)
def _paths(unit: msg3d.MultiWindowMSG3D) -> Node:
    return Joined([node(window) for window in unit.gcn3d], summed)


@parts.register(msg3d.Model)
def _network(network: msg3d.Model) -> Parts:
    stages: list[Node] = []
    for i in range(1, len(msg3d.WIDTHS) + 1):
        paths = [node(getattr(network, f"{name}{i}")) for name in ("sgcn", "gcn3d")]
        stages += [Joined(paths, summed), Framewise(torch.relu), node(getattr(network, f"tcn{i}"))]
    return Parts(Chain([Framewise(network.one_by_one), *stages]), network.fc)
