"""Networks that take their clips frame by frame."""

from __future__ import annotations

import copy
import importlib
import importlib.util
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UsageError
from skeleton_lab.nn.continual.rules import parts
from skeleton_lab.nn.fuse import unfuse

SUFFIX = "_continual"  # model/paper.py has its rules in model/paper_continual.py


@dataclass
class Stream:
    """What is remembered of a stream of clips: bounded, whatever its length."""

    ring: deque[Tensor]  # (N, C) of the latest output frames that are final
    trunk: Any = None
    clips: int = 0  # N
    frames: int = 0  # so far


class Continual:
    """A network that takes its clips frame by frame.

    Args:
        network: in either form, its room open; it is copied.
        window: W, frames that the mean is taken over.

    Attributes:
        reach, stride: R and S, in frames.

    Raises:
        UsageError: the network has no continual form, or W is none.
    """

    def __init__(self, network: nn.Module, window: int):
        if window < 1:
            raise UsageError(f"a window of {window} frames: at least 1 is needed")
        plain = unfuse(copy.deepcopy(network)).eval().requires_grad_(False)
        _import_rules(type(plain).__module__)
        self.trunk, self.head = parts(plain)
        self.reach, self.stride, self.window = self.trunk.reach, self.trunk.stride, window

    def start(self) -> Stream:
        return Stream(deque(maxlen=-(-self.window // self.stride)))

    @torch.no_grad()
    def push(self, stream: Stream, x: Tensor) -> None:
        """Frames that follow: x as the network takes clips, their frames (at least one) on axis 2."""
        y, stream.trunk = self.trunk.push(x, stream.trunk)
        stream.clips, stream.frames = len(x), stream.frames + x.shape[2]
        stream.ring.extend(_pooled(y, stream.clips))

    @torch.no_grad()
    def logits(self, stream: Stream, end: str = "pad") -> Tensor | None:
        """(N, K) at the last frame that was pushed; None where nothing is final yet, or nothing came.

        Args:
            end: "pad": as if the clip ended here; "wait": of what is final, R frames late.
        """
        ring = stream.ring
        if end == "pad":
            y, _ = self.trunk.push(None, stream.trunk, last=True)
            ring = deque(ring, ring.maxlen)
            ring.extend(_pooled(y, stream.clips))
        return self.head(torch.stack(list(ring)).mean(0)) if ring else None


def _pooled(y: Tensor | None, clips: int) -> Sequence[Tensor]:
    """Bodies (N*M, C, n, V) to n features (N, C)."""
    return () if y is None else y.mean(3).unflatten(0, (clips, -1)).mean(1).unbind(2)


def _import_rules(home: str) -> None:
    """The module with the rules of a network's module, if there is one beside it."""
    if home.startswith(("torch.", "skeleton_lab.")) or "." not in home:
        return
    if importlib.util.find_spec(f"{home}{SUFFIX}") is not None:
        importlib.import_module(f"{home}{SUFFIX}")
