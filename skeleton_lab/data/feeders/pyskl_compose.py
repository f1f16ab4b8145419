"""PYSKL's pipelines: a list of steps by their published names, and where their random numbers come from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_lab.data.feeders import pyskl_augmentation, pyskl_frames, pyskl_normalise, pyskl_streams
from skeleton_lab.data.feeders.pyskl_normalise import Item
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.utils.tensors import torch


@dataclass
class Chance:
    """Two generators that steps draw from: by default the global ones, as in published code."""

    np: Any = np.random  # or a RandomState
    py: Any = random  # or a random.Random

    @classmethod
    def seeded(cls, seed: int) -> Chance:
        """Generators of one sample; ``seed``: 64 bits."""
        return cls(np.random.RandomState(seed & 0xFFFFFFFF), random.Random(seed))


class Collect:
    """Only these keys of the item; ``meta_keys`` is taken and not looked at."""

    def __init__(self, keys: Sequence[str], meta_keys: Any = None, **_: Any) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)

    def __call__(self, item: Item, chance: Any = None) -> None:
        told = [pyskl_normalise.SOURCE] if pyskl_normalise.SOURCE in item else []
        kept = {key: item[key] for key in (*self.keys, *told)}
        item.clear()
        item.update(kept)


class ToTensor:
    """These entries as tensors."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)

    def __call__(self, item: Item, chance: Any = None) -> None:
        for key in self.keys:
            item[key] = torch.as_tensor(np.asarray(item[key]))


class UniformSampleFrames(pyskl_frames.UniformSample):
    """The other name of ``UniformSample``."""


STEPS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        pyskl_normalise.PreNormalize3D, pyskl_normalise.PreNormalize2D, pyskl_normalise.Kinetics_Transform,
        pyskl_normalise.DecompressPose, pyskl_streams.GenSkeFeat, pyskl_frames.UniformSample, UniformSampleFrames,
        pyskl_frames.UniformSampleDecode, pyskl_frames.PoseDecode, pyskl_frames.PadTo, pyskl_frames.FormatGCNInput,
        pyskl_augmentation.RandomScale, pyskl_augmentation.RandomRot, pyskl_augmentation.Spatial_Flip,
        pyskl_augmentation.Part_Drop, pyskl_augmentation.Flip, Collect, ToTensor,
    )
}  # fmt: skip


class Compose:
    """The steps of a pipeline, one after the other.

    Args:
        pipeline: ``{"type": name, **arguments}`` each, as in PYSKL's configurations.

    Raises:
        UsageError: an unknown step, or arguments that it does not take.
    """

    def __init__(self, pipeline: Sequence[Mapping[str, Any]]) -> None:
        self.steps = [_made(entry) for entry in pipeline]

    def __call__(self, item: Item, chance: Chance | None = None) -> Item:
        """Send a dictionary through the steps: it is changed and returned, its arrays are not."""
        chance = chance or Chance()
        for step in self.steps:
            step(item, chance)
        return item

    def all(self, kind: type) -> list[Any]:
        """The steps of a class."""
        return [step for step in self.steps if isinstance(step, kind)]


def _made(entry: Mapping[str, Any]) -> Any:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("type"), str):
        raise UsageError(f"a step of a pipeline is {{type: name, ...}}, not {entry!r}")
    name, arguments = entry["type"], {key: value for key, value in entry.items() if key != "type"}
    if name not in STEPS:
        raise UsageError(f"pipeline: there is no step '{name}'.{nearest(name, STEPS)} Known are {', '.join(STEPS)}")
    try:
        return STEPS[name](**arguments)
    except TypeError as error:
        told = str(error).removeprefix(name).removeprefix(".__init__()").strip()
        raise UsageError(f"pipeline: step {name}: {told}") from error
