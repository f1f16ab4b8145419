"""From key points to what the network takes, inside the file: the steps of the test feeder as operations of a graph.

Input ``keypoints`` (N, T, M, V, C): clips, frames, persons, joints, channels; zeros where a person is not there and
behind the end of a shorter clip. Of the published archives' joints these are metres with y up, moved as
``keypoints.normalise.centred`` moves them; of another skeleton any one unit, placed as ``image_points`` places them.
Joints that were not found are not filled in: that takes the frames around them, and is the caller's part
(``image_points.filled``), who leaves their scores as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.data.feeders import image_points, pipeline
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.padded import ReadClip
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.keypoints.normalise import ORIGIN
from skeleton_lab.inference.network import Network
from skeleton_lab.skeletons.layouts import Layout


def preprocessing(network: Network, feeder: Feeder) -> nn.Sequential:
    """(N, T, M, V, C) to the network's first input.

    Raises:
        UsageError: the feeder does something else to clips than can be in a file.
    """
    if network.generated or network.arguments.get("normalization") or str(network.arguments.get("layout", "")):
        raise UsageError("--with-preprocessing: the archive of this configuration was changed before; leave it out")
    made: list[nn.Module] = [Centred()]
    if feeder.placed and feeder.skeleton:
        made = [Placed(feeder.skeleton, feeder.D, feeder.clips.scored)]
    for step in feeder.steps:
        made += _layers(step, network, feeder)
    return nn.Sequential(*made, Turned(feeder.axes))


def _layers(step: Any, network: Network, feeder: Feeder) -> list[nn.Module]:
    """A step of the feeder's recipe as layers on (N, T, M, V, C)."""
    if step is pipeline.measure:
        return []
    if type(step) is pipeline.Crop and len(step.p_interval) == 1:
        return [Cropped(step.p_interval[0], _window(feeder))]
    if type(step) is pipeline.Resize:  # the crop before it reads the frames
        return []
    if type(step) is pipeline.Bone and step.keep is None:
        return [Bones(step.parent, feeder.D)]
    if step is pipeline.motion:
        return [Motion(feeder.D)]
    if type(step) is ReadClip and not (step.shift or step.choose or step.crop):
        return [Padded(max(network.padded, step.window))]
    name = getattr(step, "__name__", type(step).__name__)
    does = "has a pipeline of its own" if name.startswith("_") else f"does '{name}'"  # PYSKL's is one method
    raise UsageError(
        f"--with-preprocessing: the test feeder {network.options.feeder} {does}, which no file does; leave it "
        "out: skeleton-lab predict --onnx makes the clips by the feeder"
    )


def _window(feeder: Feeder) -> int:
    window = next((step.window for step in feeder.steps if type(step) is pipeline.Resize), None)
    if window is None:
        raise UsageError("--with-preprocessing: the test feeder crops clips without resizing them; leave it out")
    return int(window)


def present(x: Tensor) -> Tensor:
    """(N, T, M) 1 where a person is there, else 0."""
    return (x.abs().amax((3, 4)) > 0).float()


def at(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """Of every clip the entry ``index`` (N,) along an axis, which is gone then."""
    index = index.view(-1, *[1] * (x.dim() - 1))
    where = torch.zeros_like(x.narrow(axis, 0, 1), dtype=torch.int64) + index
    return x.gather(axis, where).squeeze(axis)


class Centred(nn.Module):
    """The middle of the spine of the first person becomes the origin, in the first frame with that person."""

    def forward(self, x: Tensor) -> Tensor:
        there = present(x)
        person = there.amax(1).argmax(1)  # the first, where several are there
        body = at(x, 2, person)  # (N, T, V, C)
        origin = at(body, 1, at(there, 2, person).argmax(1))[:, ORIGIN]
        return (x - origin[:, None, None, None]) * there[..., None, None]


class Placed(nn.Module):
    """Clips about the body, in lengths of the torso, upright (``image_points``), of people without missing joints.

    Args:
        scored: the last channel is a score; joints with a low one are filled in, and tell no length.
    """

    def __init__(self, skeleton: Layout, D: int, scored: bool) -> None:
        super().__init__()
        self.origin, self.ends = list(skeleton.origin), [list(end) for end in skeleton.scale]
        self.D, self.turns, self.scored = D, not skeleton.y_up, scored

    def forward(self, x: Tensor) -> Tensor:
        there, points = present(x), x[..., : self.D]
        frame = there.amax(2).argmax(1)
        body = at(at(points, 1, frame), 1, at(there, 1, frame).argmax(1))  # (N, V, D)
        points = points - body[:, self.origin].mean(1)[:, None, None, None]
        points = points / self.size(points, there, self.both(x) * there)[:, None, None, None, None]
        if self.turns:
            points = torch.cat([points[..., :1], -points[..., 1:]], 4)
        return torch.cat([points * there[..., None, None], x[..., self.D :]], 4)

    def both(self, x: Tensor) -> Tensor:
        """(N, T, M) 1 where both ends of the torso were found (``image_points.joints_found``), else 0."""
        if self.scored:
            good = (x[..., -1] >= image_points.SCORE).float()
            found = torch.where(good.amax((1, 3), keepdim=True) > 0, good, (x[..., -1] > 0).float())
        else:
            found = (x.abs().amax(4) > 0).float()
        return found[..., [*self.ends[0], *self.ends[1]]].amin(3)

    def size(self, points: Tensor, there: Tensor, both: Tensor) -> Tensor:
        """(N,) median length of the torso, of the first person whose is long enough; else the spread of the joints.

        Args:
            there, both: (N, T, M) 1 where a person is seen, and both ends of the torso.
        """
        away = points - points.mean(3, keepdim=True)
        bodies = there.sum((1, 2)).clamp(min=1)
        spread = ((away.square().sum(4).mean(3) * there).sum((1, 2)) / bodies).sqrt()
        low, high = (points[:, :, :, end].mean(3) for end in self.ends)
        torso = (high - low).square().sum(3).sqrt()
        ordered = torch.sort(torch.where(both > 0, torso, torch.full_like(torso, torch.inf)), 1)[0]
        count = both.sum(1).long().clamp(min=1)  # (N, M)
        places = [torch.div(k, 2, rounding_mode="floor") for k in (count - 1, count)]
        median = sum(ordered.gather(1, place[:, None]).squeeze(1) for place in places) / 2
        fits = (both.amax(1) > 0) & (median > image_points.SHORTEST * spread[:, None])
        median = torch.where(fits, median, torch.zeros_like(spread)[:, None])  # no file can pick beside infinity
        length = torch.where(fits.any(1), at(median, 1, fits.float().argmax(1)), spread)
        return torch.where(length > 0, length, torch.ones_like(length))


class Cropped(nn.Module):
    """The middle share ``p`` of a clip, resized to ``window`` frames, by the feeders' rules (``transforms``)."""

    def __init__(self, p: float, window: int) -> None:
        super().__init__()
        self.p, self.window = p, window

    def forward(self, x: Tensor) -> Tensor:
        n = present(x).amax(2).sum(1).double()
        start = ((1 - self.p) * n / 2).long()
        length = (n.long() - 2 * start).clamp(min=1)
        scale = (length.double() / self.window).float()[:, None]
        place = ((torch.arange(self.window).float() + 0.5) * scale - 0.5).clamp(min=0)
        last = (length - 1)[:, None]
        i0 = torch.minimum(place.long(), last)
        i1 = torch.minimum(i0 + 1, last)
        a = torch.where(i1 > i0, place - i0.float(), torch.zeros_like(place))[:, :, None, None, None]
        return (1 - a) * frames(x, i0 + start[:, None]) + a * frames(x, i1 + start[:, None])


def frames(x: Tensor, index: Tensor) -> Tensor:
    """Frames ``index`` (N, W) of every clip (N, T, M, V, C): (N, W, M, V, C)."""
    rows = torch.zeros_like(x[:, :1], dtype=torch.int64) + index[:, :, None, None, None]
    return x.gather(1, rows)


class Padded(nn.Module):
    """Exactly ``size`` frames: a shorter clip with zeros behind it, of a longer one the first."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        none = torch.zeros_like(x[:, :1]).repeat(1, self.size, 1, 1, 1)
        return torch.cat([x, none], 1)[:, : self.size]


class Bones(nn.Module):
    """Every joint minus its parent (``transforms.bone``)."""

    def __init__(self, parent: np.ndarray | Tensor | Sequence[int], D: int) -> None:
        super().__init__()
        self.parent, self.D = [int(joint) for joint in parent], D

    def forward(self, x: Tensor) -> Tensor:
        other = x[:, :, :, self.parent]
        return torch.cat([(x - other)[..., : self.D], (x + other)[..., self.D :] / 2], 4)


class Motion(nn.Module):
    """Next frame minus this one, zero in the last (``transforms.motion``)."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.D = D

    def forward(self, x: Tensor) -> Tensor:
        now, then = x[:, :-1], x[:, 1:]
        y = torch.cat([(then - now)[..., : self.D], (then + now)[..., self.D :] / 2], 4)
        return torch.cat([y, torch.zeros_like(x[:, :1])], 1)


class Turned(nn.Module):
    """(N, T, M, V, C) to the order of the network's axes."""

    def __init__(self, axes: str) -> None:
        super().__init__()
        self.order = [0, *(1 + "TMVC".index(axis) for axis in axes)]

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)
