"""What fused networks have in common: empty bodies are computed once, and modules are computed again on demand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.nn.activation_checkpoint import checkpointed
from skeleton_lab.nn.fused.merge_empty import Bodies, merge_empty
from skeleton_lab.nn.fused.running_statistics import moved_together


class FusedNetwork(nn.Module):
    """Base of the twins of whole networks, in front of the plain network.

    Attributes:
        activation_checkpointing: in training, keep only the inputs of what goes through ``run``, and compute the rest
            again in backward.
        merge_empty_bodies: compute the empty bodies of a batch once; the result is the same up to rounding.
        merge_under_dropout: do so in training of a network with dropout between its layers, too, where the empty
            bodies of a person slot then share one mask.  That is another distribution: they are no longer
            independent, and the statistics of batch norms spread more.
    """

    activation_checkpointing: bool = False
    merge_empty_bodies: bool = True
    merge_under_dropout: bool = False

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """A call of a module, at whose end the running statistics of all norms move together."""
        with moved_together():
            return super().__call__(*inputs, **named)

    def bodies_of(self, x: Tensor, alike: bool = True) -> Bodies:
        """Which bodies of x (N, C, T, V, M) to compute.

        ``alike``: equal bodies stay equal in every layer; False under dropout, see ``merge_under_dropout``.
        """
        merge = self.merge_empty_bodies and (alike or self.merge_under_dropout) and len(x) > 1
        return merge_empty(x) if merge else Bodies()

    def run(self, module: nn.Module, *inputs: Tensor | None) -> Any:
        """``module(*inputs)``, checkpointed where that is wanted."""
        if self.activation_checkpointing and self.training and torch.is_grad_enabled():
            return checkpointed(module, *inputs)
        return module(*inputs)
