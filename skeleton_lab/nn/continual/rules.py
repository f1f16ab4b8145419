"""Which modules and networks can be computed frame by frame; a room adds its own in ``model/paper_continual.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UsageError
from skeleton_lab.nn.backbone import WIDTHS, Block, TenBlocks
from skeleton_lab.nn.continual.nodes import Chain, Framewise, Joined, Node, Window, beside, summed
from skeleton_lab.nn.layers import MultiScaleTemporalConv, UnitTCN

Made = TypeVar("Made")


class Parts(NamedTuple):
    """A network in two: ``trunk`` from clips as the network takes them (frames: axis 2) to features of bodies
    (N*M, C, T', V), ``head`` from their mean over frames, joints and people (N, C) to logits (N, K)."""

    trunk: Node
    head: Callable[[Tensor], Tensor]


class Rules(Generic[Made]):
    """What is made of a module, by its class; of a subclass too, as long as it computes the same.

    Args:
        why: what a module without a rule lacks, for messages.
    """

    def __init__(self, why: str):
        self._why = why
        self._rules: dict[type[nn.Module], Callable[[Any], Made]] = {}

    def register(self, *classes: type[nn.Module]) -> Callable[[Callable[[Any], Made]], Callable[[Any], Made]]:
        def keep(rule: Callable[[Any], Made]) -> Callable[[Any], Made]:
            self._rules |= dict.fromkeys(classes, rule)
            return rule

        return keep

    def __call__(self, module: nn.Module) -> Made:
        """Raises UsageError: no rule says how what the module computes depends on frames."""
        for known in type(module).__mro__:
            if known in self._rules and type(module).forward is known.forward:
                return self._rules[known](module)
        raise UsageError(f"{type(module).__module__}.{type(module).__name__} {self._why}")


node: Rules[Node] = Rules("is not known to be computable frame by frame: what looks at all frames at once is not")
parts: Rules[Parts] = Rules(
    "has no continual form: networks that look at all frames at once (attention, graphs made of means over frames) "
    "cannot be evaluated frame by frame"
)


@node.register(nn.BatchNorm2d, nn.ReLU, nn.Dropout, nn.Identity)
def _framewise(module: nn.Module) -> Node:
    return Framewise(module)


@node.register(nn.Conv2d)
def _conv(conv: nn.Conv2d) -> Node:
    (kernel, width), dilation, stride = conv.kernel_size, conv.dilation[0], conv.stride[0]
    reach = (kernel - 1) * dilation // 2
    plain = kernel % 2 and width == 1 and conv.padding == (reach, 0) and conv.padding_mode == "zeros"
    if not plain or conv.stride[1] != 1:
        raise UsageError(f"{conv} is not computable frame by frame: of odd kernels over frames, with zeros around")
    if kernel == stride == 1:
        return Framewise(conv)

    def over(x: Tensor) -> Tensor:
        return torch.conv2d(x, conv.weight, conv.bias, (stride, 1), 0, (dilation, 1), conv.groups)

    return Window(over, reach, stride)


@node.register(nn.MaxPool2d)
def _pool(pool: nn.MaxPool2d) -> Node:
    (kernel, width), (stride, _), (reach, _) = pool.kernel_size, pool.stride, pool.padding
    if kernel != 2 * reach + 1 or width != 1:
        raise UsageError(f"{pool} is not computable frame by frame: of odd windows over frames, padded to their size")
    return Window(lambda x: torch.max_pool2d(x, (kernel, 1), (stride, 1)), reach, stride, fill=-torch.inf)


@node.register(nn.Sequential)
def _sequential(layers: nn.Sequential) -> Node:
    return Chain([node(layer) for layer in layers])


@node.register(UnitTCN)
def _unit_tcn(unit: UnitTCN) -> Node:
    return Chain([node(unit.conv), node(unit.bn)])


@node.register(MultiScaleTemporalConv)
def multi_scale(unit: MultiScaleTemporalConv) -> Node:
    """Its branches side by side, and what is added to them."""
    branches = Joined([node(branch) for branch in unit.branches], beside)
    return branches if unit.residual is None else Joined([branches, node(unit.residual)], summed)


def residual_block(main: Sequence[Node], residual: nn.Module | None) -> Node:
    """relu(main(x) + residual(x)); None: nothing is added."""
    whole: Node = Chain(main)
    if residual is not None:
        whole = Joined([whole, node(residual)], summed)
    return Chain([whole, Framewise(torch.relu)])


@node.register(Block)
def _block(block: Block) -> Node:
    return residual_block([node(block.gcn1), node(block.tcn1)], block.residual)


@parts.register(TenBlocks)
def _ten_blocks(network: TenBlocks) -> Parts:
    blocks = [node(getattr(network, f"l{i}")) for i in range(1, len(WIDTHS) + 1)]
    return Parts(Chain([Framewise(network.one_by_one), *blocks]), network.fc)
