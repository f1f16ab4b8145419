"""What all feeders share: a recipe of steps, whole batches at once, the published item, arguments with clear errors."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.feeders import skeleton as skeletons
from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.corruption import Corrupted, Corruption
from skeleton_lab.data.feeders.image_points import ImagePoints, filled
from skeleton_lab.data.feeders.observation import Observed
from skeleton_lab.data.feeders.pipeline import Step, Work
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import FeederArgumentError, UsageError, nearest
from skeleton_lab.skeletons import bones
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.tensors import Dataset, Tensor, torch

DEBUG_SAMPLES = 100
MOST = 100_000  # frames of a clip, an hour; repetitions


class Batch(list):
    """The indices of one batch and the epoch that they are drawn for, for ``Feeder.__getitems__``."""

    def __init__(self, indices: Iterable[int] = (), epoch: int = 0) -> None:
        super().__init__(indices)
        self.epoch = epoch


class Feeder(Dataset):
    """A data set of skeleton sequences: clips of an archive, sent through a list of steps.

    A subclass opens ``clips``, hands them over together with its ``steps``, and inherits the rest. Use it with a
    ``DataLoader`` whose ``collate_fn`` is the identity: a batch then is one call of ``__getitems__``.

    Attributes:
        clips: the archive's clips (``skeleton_lab.data.archives.clips.Clips``), restricted to those in use.
        label: (N,) int64 class of each clip; sample_name: N names, under which scores are stored.
        num_class: number of classes where the archive tells it, else None.
        edges: (joint, parent) pairs to draw, 0-based.
        seed, epoch: what the random numbers depend on besides the sample; ``Batch.epoch`` goes before ``epoch``.
        num_person: persons in every item, missing ones zero; None for as many as the archive stores.
        repeat: how often the clips follow each other; ``len`` counts the repetitions, each has its own draws.
        observe: (a, b), the share of each clip that is seen, from its beginning; random between a and b where they
            differ (``skeleton_lab.data.feeders.observation``). The engine sets it from a feeder argument ``observe``.
        corruption: what every clip suffers before the steps read it (``skeleton_lab.data.feeders.corruption``); the
            engine sets it for ``--corrupt``.
        room_dir: the room's folder, where data is looked for besides the working directory.
        required: arguments that must be given; unused: those of the published feeder that change nothing, which is
            said once (``accept``).
        joints: V of the clips that the published feeder takes; None: any.
        skeleton: of the clips, None where nothing tells it; told: whether the feeder's argument or the archive says it.
        usual: skeleton of the published archives, whose clips are read as they are stored.
        D: coordinates of a joint; a channel behind them is a score.
        up: the axis that points up in what the feeder makes, where that is not the archive's: "y", "-y" or "z".
        placed: clips are moved and scaled by the body before anything else (``image_points``, docs/data.md).
        axes: of what the network gets for a clip: coordinates C, frames T, joints V, persons M. There may be one more
            in front, of several clips of a sample; ``average_clips`` says how a test joins what the network says.
    """

    seed = 0
    epoch = 0
    num_person: int | None = None
    repeat = 1
    observe = (1.0, 1.0)
    corruption: Corruption | None = None
    room_dir: Path | None = None
    joints: int | None = None
    skeleton: Layout | None = None
    told = False
    usual: str | None = None
    D = 3
    placed = False
    up: str | None = None
    axes = "CTVM"
    average_clips = "prob"
    required: tuple[str, ...] = ("data_path",)
    unused: tuple[str, ...] = ()

    def __init__(self, clips: Any, steps: Sequence[Step], sample_name: Sequence[Any], debug: bool = False) -> None:
        self.clips = clips
        self.steps = list(steps)
        self.label = np.asarray(clips.labels, dtype=np.int64)
        self.sample_name = sample_name
        self.num_class: int | None = clips.num_class
        if self.skeleton is None:  # of a feeder that does not look at it
            self.skeleton, self.told = skeletons.told(clips, None), skeletons.says(clips, None)
        self.edges = [] if self.skeleton is None else bones.edges(self.skeleton.parent)
        if debug:
            self.restrict(range(min(DEBUG_SAMPLES, len(self.label))))

    def accept(self, given: dict[str, Any]) -> None:
        """What a published constructor begins with; ``given``: its ``locals()``, of which ``unknown`` has no name.

        Raises:
            FeederArgumentError: unknown or missing argument. UsageError: num_person is no number of people.
        """
        refuse_unknown(type(self), given["unknown"])
        require(type(self), **{name: given[name] for name in self.required})
        note_unused(type(self), **{name: given[name] for name in self.unused})
        if given.get("num_person") is not None:
            self.num_person = checked_count("num_person", given["num_person"])

    def know(self, clips: Any, given: skeletons.Given, found: Layout | None) -> Any:
        """Settle the clips' skeleton, and with it how they are read; ``given``: the feeder's argument.

        Clips of the usual skeleton are read as stored: their archives are prepared. Those of another are placed.

        Returns:
            The clips, which say their skeleton if it is another than the usual one.
        """
        self.skeleton, self.told = found, skeletons.says(clips, given)
        self.placed = found is not None and not self.as_published(clips, given, found)
        if self.placed and found is not None:
            clips = skeletons.saying(clips, found)
        self.D = skeletons.coordinates(clips) if self.placed else min(clips.C, 3)
        return clips

    def as_published(self, clips: Any, given: skeletons.Given, found: Layout) -> bool:
        """Whether clips of this skeleton are what the published feeder reads."""
        return found.name == self.usual and skeletons.coordinates(clips) == 3

    def __len__(self) -> int:
        return len(self.label) * self.repeat

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__}: {len(self)} samples of {self.clips.path}>"

    def restrict(self, indices: Sequence[int] | np.ndarray) -> None:
        """Keep only these clips, in this order; they are renumbered from 0 and keep their names."""
        indices = np.asarray(indices, dtype=np.int64)
        self.clips = self.clips.subset(indices)
        self.label = self.label[indices]
        self.sample_name = [self.sample_name[i] for i in indices]

    def take_people(self, count: int) -> None:
        """Hand over this many people: of more the first are read, fewer are followed by empty ones. Said once."""
        stored = self.num_person or self.clips.M
        if stored == count:
            return
        kept = "the first are kept" if count < stored else "the others are empty"
        log_once(f"The clips have {stored} people and the network takes {count}: {kept}.")
        self.clips, self.num_person = self.clips.first_people(count), count

    @property
    def stored_skeleton(self) -> Layout | None:
        """Of the clips as the archive has them; a pipeline may add joints."""
        found = self.skeleton
        return found if found is not None and found.V == self.clips.V else getattr(self.clips, "skeleton", None)

    def seen(self, clips: Any) -> Any:
        """Clips as the steps read them."""
        return ImagePoints(clips, self.skeleton) if self.placed and self.skeleton is not None else clips

    @property
    def filled(self) -> Any:
        """The clips as they are stored, but without missing joints: what a file takes that does the steps itself."""
        return ImagePoints(self.clips, self.skeleton, filled) if self.placed and self.skeleton else self.clips

    def shown(self, epoch: int) -> Any:
        """The clips as far as they are observed."""
        return self.clips if self.observe == (1, 1) else Observed(self.clips, self.observe, self.seed, epoch)

    def work(self, batch: Sequence[int]) -> Work:
        """Run the steps for the samples of a batch.

        Raises:
            IndexError: an index is not in -len..len-1.
        """
        index = np.asarray(batch, dtype=np.int64).reshape(-1)
        wrong = (index < -len(self)) | (index >= len(self))
        if wrong.any():
            raise IndexError(f"sample {index[wrong][0]} of a feeder of {len(self)} samples")
        index = np.where(index < 0, index + len(self), index)
        epoch = getattr(batch, "epoch", self.epoch)
        clips = self.shown(epoch)
        if self.corruption is not None:
            clips = Corrupted(clips, self.corruption, self.stored_skeleton, self.seed)
        work = Work(self.seen(clips), index % len(self.label), Draws(self.seed, epoch, index), D=self.D)
        if self.skeleton is not None:
            work.skeleton = self.skeleton
        for step in self.steps:
            step(work)
        if self.num_person is not None:
            work.x = transforms.people(work.x, self.num_person)
        return work

    def __getitems__(self, batch: Sequence[int]) -> tuple[Tensor, ...]:
        """A whole batch: x (N, C, T, V, M) float32, y (N,) int64, index (N,) int64 as given."""
        work = self.work(batch)
        label = torch.from_numpy(self.label[work.sample])
        return *self.inputs(work), label, torch.tensor(list(batch), dtype=torch.int64)

    def inputs(self, work: Work) -> tuple[Tensor, ...]:
        """What the network is called with."""
        return (transforms.to_ctvm(work.x.float()),)

    def __getitem__(self, index: int) -> tuple:
        """The published item: data (C, T, V, M) float32 array, class, index as given. Equal to a batch of one."""
        *inputs, y, _ = self.__getitems__(Batch([index], self.epoch))
        return *(np.ascontiguousarray(each[0].numpy()) for each in inputs), int(y[0]), index

    def top_k(self, score: np.ndarray, k: int) -> float:
        """Share of the samples whose label is among the k largest of their scores (N, K), by ascending arg-sort."""
        best = np.argsort(score, axis=1)[:, -k:]
        return float((best == self.label[:, None]).any(axis=1).mean())


@cache
def log_once(line: str) -> None:
    """A line of the run's log, the first time that it is said."""
    logging.getLogger("skeleton_lab").info(line)


def ctvm(x: np.ndarray, axes: str) -> np.ndarray:
    """Clips (..., C, T, V, M) of clips whose last four axes are ``axes``; of several of a sample the first."""
    x = x[:, 0] if x.ndim == 6 else x
    return x.transpose(*range(x.ndim - 4), *(x.ndim - 4 + axes.index(axis) for axis in "CTVM"))


def refuse_unknown(feeder: type, unknown: dict[str, Any]) -> None:
    """Complain about arguments that the constructor of ``feeder`` does not name."""
    if not unknown:
        return
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(feeder).parameters.values()
    accepted = [parameter.name for parameter in signature if parameter.kind in kinds]
    word = next(iter(unknown))
    raise FeederArgumentError(
        f"feeder argument '{word}' is unknown to {feeder.__module__}.{feeder.__name__}."
        f"{nearest(word, accepted)} Accepted: {', '.join(accepted)}"
    )


def require(feeder: type, **arguments: Any) -> None:
    """Complain about arguments that were not given."""
    for name, value in arguments.items():
        if value is None:
            raise FeederArgumentError(f"feeder argument '{name}' is required by {feeder.__module__}.{feeder.__name__}")


def note_unused(feeder: type, **arguments: Any) -> None:
    """Say once that arguments of the published feeders have no effect, if they differ from their defaults."""
    defaults = inspect.signature(feeder).parameters
    given = [f"{name}={value}" for name, value in arguments.items() if value != defaults[name].default]
    if given:
        log_once(f"{feeder.__module__}.{feeder.__name__}: no effect, as published: {', '.join(given)}")


def checked_count(name: str, value: Any) -> int:
    """A whole number of at least 1 and at most ``MOST``: window_size (frames), num_person, repeat."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise UsageError(f"feeder argument {name} must be a whole number of at least 1, got {value!r}")
    return checked_most(name, int(value))


def checked_most(name: str, value: int) -> int:
    """UsageError for more frames or people than any memory holds."""
    if value > MOST:
        raise UsageError(f"feeder argument {name} must be at most {MOST}, got {value}")
    return value


def checked_interval(value: Any, name: str = "p_interval") -> tuple[float, ...]:
    """Shares of a clip: [p], or a number p, for a fixed one; [a, b] for a random one; 0 < a <= b <= 1."""
    interval = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    numbers = all(isinstance(p, Real) and not isinstance(p, bool) for p in interval)
    if not numbers or len(interval) not in (1, 2) or not all(0 < p <= 1 for p in interval):
        raise UsageError(f"feeder argument {name} must be [p] or [a, b] with 0 < p, a, b <= 1, got {value!r}")
    if interval[0] > interval[-1]:
        raise UsageError(f"feeder argument {name}: the lower bound comes first, got {value!r}")
    return tuple(float(p) for p in interval)


def checked_share(name: str, value: Any) -> float:
    """A probability: intra_p, inter_p, p."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise UsageError(f"feeder argument {name} must lie between 0 and 1, got {value!r}")
    return float(value)
