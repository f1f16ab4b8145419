"""ST-GCN++ and ProtoGCN as their tests build them: the recorded ones, and some of a few blocks."""

from __future__ import annotations

from functools import cache

import numpy as np
import replay
from parity.protocol import fill, make_skeleton
from replay import Case
from torch import Tensor, nn

NAMES = ["stgcnpp", "protogcn"]
SMALL = {
    "stgcnpp": {"num_classes": 5, "base_channels": 12, "num_stages": 4, "inflate_stages": [3], "down_stages": [3]},
    "protogcn": {"num_classes": 5, "base_channels": 16, "num_stages": 3, "inflate_stages": [2], "down_stages": [3],
                 "num_prototype": 6},
}  # fmt: skip
MEMORY = "cls_head.csc_loss.avg_f"


def clips(n: int, frames: int, joints: int, people: int, channels: int = 3, seed: int = 0, **_: str) -> Tensor:
    """(N, M, T, V, C), what these networks take."""
    return make_skeleton(n, frames, joints, people, channels, seed).permute(0, 4, 2, 3, 1)


class Fixture(replay.Fixture):
    def cases(self):
        given = [(self.facts["kwargs"], recipe) for recipe in self.facts["inputs"].values()]
        given += [(variant["kwargs"], variant["input"]) for variant in self.facts["variants"].values()]
        for kwargs, recipe in given:
            yield Case(recipe["npz_prefix"], kwargs, (clips(**recipe),))

    def build(self, kwargs=None, **changes):
        model = super().build(kwargs, **changes)
        if hasattr(model.backbone, "prn"):
            model.backbone.prn.dropout.p = 0.0  # as recorded
        return model


def small(name: str, fused: bool = True, **changes) -> nn.Module:
    """A few blocks of the published network."""
    model = replay.build("PYSKL", f"model.{name}.Model", fused, **published(name) | SMALL[name] | changes)
    if name == "protogcn":
        model.backbone.prn.dropout.p = 0.0
    return model


@cache
def published(name: str) -> dict:
    """The arguments of the published network."""
    return Fixture("PYSKL", name).facts["kwargs"]


def forms(name: str, **changes) -> tuple[nn.Module, nn.Module]:
    np.random.seed(0)
    plain = fill(small(name, fused=False, **changes))
    fused = small(name, **changes)
    fused.load_state_dict(plain.state_dict())
    if name == "protogcn":
        fused.get_buffer(MEMORY).copy_(plain.get_buffer(MEMORY))
    return plain, fused


def output_of(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)
