"""What networks over frames to come are made of: functions of the next frames and of what is remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Pushed = tuple[Tensor | None, Any]  # outputs and the state behind them


class Node:
    """A part of a network as a function of consecutive frames (axis 2) and a state, which is never changed in place.

    ``push(x, state, last)`` -> (y, state): x the next frames or None, y the outputs that they make final or None;
    the state of a beginning is None; ``last``: no frame follows, so all outputs come.
    """

    reach = 0  # R
    stride = 1  # S

    def push(self, x: Tensor | None, state: Any, last: bool = False) -> Pushed:
        raise NotImplementedError


class Framewise(Node):
    """What looks at one frame at a time."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function = function

    def push(self, x: Tensor | None, state: Any, last: bool = False) -> Pushed:
        return (None if x is None else self.function(x)), None


class Window(Node):
    """``function`` of every ``stride``-th stretch of 2 ``reach`` + 1 frames, without padding of its own.

    Args:
        fill: value of the frames before and behind the clip.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], reach: int, stride: int = 1, fill: float = 0.0):
        self.function, self.reach, self.stride, self.fill = function, reach, stride, fill

    def push(self, x: Tensor | None, state: Any, last: bool = False) -> Pushed:
        if state is None:
            if x is None:
                return None, None
            state = self._padding(x), 0
        held, skip = state  # frames that outputs to come look at, and how many to come none looks at
        parts = [held] if x is None else [held, x]
        frames = torch.cat([*parts, self._padding(held)] if last else parts, 2)
        skipped = min(skip, frames.shape[2])
        frames, skip = frames[:, :, skipped:], skip - skipped
        count = max(0, (frames.shape[2] - 2 * self.reach - 1) // self.stride + 1)
        used = count * self.stride
        y = None
        if count:
            y = self.function(frames[:, :, : used - self.stride + 2 * self.reach + 1])
        return y, (frames[:, :, used:].clone(), skip + max(0, used - frames.shape[2]))

    def _padding(self, like: Tensor) -> Tensor:
        return like.new_full((*like.shape[:2], self.reach, *like.shape[3:]), self.fill)


class Chain(Node):
    """Nodes in turn."""

    def __init__(self, nodes: Sequence[Node]):
        self.nodes = list(nodes)
        self.reach, self.stride = 0, 1
        for node in self.nodes:
            self.reach, self.stride = self.reach + node.reach * self.stride, self.stride * node.stride

    def push(self, x: Tensor | None, state: Any, last: bool = False) -> Pushed:
        after = []
        for node, before in zip(self.nodes, state or [None] * len(self.nodes)):
            x, kept = node.push(x, before, last)
            after.append(kept)
        return x, after


class Joined(Node):
    """Branches of one stride over the same frames, and ``function`` of the list of what they say to the same output."""

    def __init__(self, branches: Sequence[Node], function: Callable[[list[Tensor]], Tensor]):
        self.branches, self.function = list(branches), function
        self.reach = max(branch.reach for branch in self.branches)
        self.stride = self.branches[0].stride
        if any(branch.stride != self.stride for branch in self.branches):
            raise ValueError(f"branches of strides {[branch.stride for branch in self.branches]} cannot be joined")

    def push(self, x: Tensor | None, state: Any, last: bool = False) -> Pushed:
        waiting, states = state or ([None] * len(self.branches), [None] * len(self.branches))
        pushed = [branch.push(x, before, last) for branch, before in zip(self.branches, states)]
        there = [_following(old, new) for old, (new, _) in zip(waiting, pushed)]
        count = min(0 if each is None else each.shape[2] for each in there)
        y = self.function([each[:, :, :count] for each in there]) if count else None
        waiting = [None if each is None else each[:, :, count:].clone() for each in there]
        return y, (waiting, [kept for _, kept in pushed])


def _following(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    parts = [each for each in (old, new) if each is not None]
    return torch.cat(parts, 2) if len(parts) > 1 else parts[0] if parts else None


def summed(parts: list[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0])


def beside(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, 1)
