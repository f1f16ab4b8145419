"""``--freeze backbone``: what came from ``--weights`` stays as it is, and the classifier learns on top of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import nn

from skeleton_lab.engine.transfer import Transfer
from skeleton_lab.errors import UsageError
from skeleton_lab.nn.fuse import is_fused_layer, unfuse

FROZEN = "frozen"  # among a checkpoint's circumstances: a resumed run does not read --weights again


def backbone(net: nn.Module, transfer: Transfer, model: str) -> list[str]:
    """Names of the parameters that stay: those that were loaded, but the classifier's.

    What began anew, because the weights are of another skeleton, learns along with the classifier.

    Raises:
        UsageError: the network does not tell which part its classifier is.
    """
    if not transfer.classifier:
        raise UsageError(
            f"--freeze backbone: {model} has no argument num_class, by which its classifier is told from its backbone"
        )
    stays = transfer.loaded - transfer.classifier
    return [name for name, parameter in net.named_parameters() if parameter.requires_grad and name in stays]


def of(earlier: Mapping[str, Any]) -> list[str]:
    """The same of the run that is resumed."""
    return [str(name) for name in earlier.get("circumstances", {}).get(FROZEN, ())]


def freeze(net: nn.Module, names: Collection[str]) -> list[nn.Module]:
    """Take the parameters out of training; returns the modules without any other one, in which nothing moves.

    They are to be in evaluation mode while the rest trains: their batch norm keeps the statistics that the weights
    were trained with, and their dropout is off, so the features of a clip are those of the trained network.

    Fused layers are either in training or in evaluation with all that is inside them. Where a part of one learns (a
    learned graph of another skeleton), the whole network takes its plain form.
    """
    for name, parameter in net.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    still = [module for module in net.modules() if _still(module)]
    whole = {net, *still}
    if any(is_fused_layer(module) and module not in whole and _owns(module) for module in net.modules()):
        unfuse(net)
    return still


def described(net: nn.Module) -> str:
    """A line for the log."""
    learning = [parameter.numel() for parameter in net.parameters() if parameter.requires_grad]
    total = sum(parameter.numel() for parameter in net.parameters())
    return f"--freeze backbone: {sum(learning)} of {total} parameters learn, the others stay as they are."


def train(net: nn.Module, still: Iterable[nn.Module]) -> None:
    """The network in training mode, but for what is frozen."""
    net.train()
    for module in still:
        module.eval()


def _owns(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _still(module: nn.Module) -> bool:
    """Whether a module has parameters and none of them learns."""
    return _owns(module) and not any(parameter.requires_grad for parameter in module.parameters())
