"""From a feeder class to batches: the same global batches whatever the number of processes and workers.

The order of an epoch is a permutation drawn from (seed, epoch).  Every process computes it and takes its slice of
each batch of ``batch_size`` clips, so N processes together see what one would have seen.  Nothing here draws from
the global generators: an epoch can be entered anywhere (``BatchPlan.start``) and goes on as if never left.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import random
import signal
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from skeleton_lab.data.feeders.base import Batch, Feeder, checked_interval, log_once
from skeleton_lab.data.feeders.corruption import Corruption, cannot_happen
from skeleton_lab.engine.size_checks import people
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.utils.importing import check_arguments, import_class


class Seeded(Dataset):
    """A user's plain dataset with the global generators seeded per sample by (seed, epoch, index).

    So its augmentations do not depend on workers, batches or resuming either; the caller's generators are put back.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, batch: Sequence[int]) -> list[Any]:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            return [self._item(index, getattr(batch, "epoch", 0)) for index in batch]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])

    def _item(self, index: int, epoch: int) -> Any:
        digest = hashlib.blake2b(f"{self.seed},{epoch},{index}".encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "little")
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        return self.dataset[index]


class BatchPlan:
    """Batch sampler of one process: shuffled full batches for training, everything once for evaluation.

    Attributes:
        epoch: whose permutation is drawn; start: the first batch of it that is still to be done.
    """

    def __init__(self, samples: int, size: int, *, seed: int = 0, shuffle: bool, rank: int = 0, world: int = 1) -> None:
        self.samples, self.size, self.seed, self.shuffle = samples, size, seed, shuffle
        self.rank, self.world = rank, world
        self.epoch = self.start = 0

    def __len__(self) -> int:
        """Batches of this process in a whole epoch."""
        if self.shuffle:
            return self.samples // self.size
        return -(-len(range(self.rank, self.samples, self.world)) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        if self.shuffle:
            yield from self._training()
            return
        mine = range(self.rank, self.samples, self.world)  # unpadded: every sample belongs to exactly one process
        for first in range(0, len(mine), self.size):
            yield Batch(mine[first : first + self.size], self.epoch)

    def _training(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(self.samples, generator=generator)
        low, high = (self.size * r // self.world for r in (self.rank, self.rank + 1))
        for number in range(self.start, len(self)):
            first = number * self.size
            yield Batch(order[first + low : first + high].tolist(), self.epoch)


def collate(fetched: Any) -> Any:
    """Feeders of the lab hand over a batch as a tuple of tensors; a list of items is put together as PyTorch does."""
    batch = fetched if isinstance(fetched, tuple) else default_collate(fetched)
    return batch if get_worker_info() is None else share(batch)


def share(batch: Any) -> Any:
    """In a loader process: put the batch into shared memory here and now.

    PyTorch does it in a thread whose failure nobody hears of: the run would wait for this batch for ever.
    """
    for tensor in batch if isinstance(batch, (tuple, list)) else ():
        if isinstance(tensor, Tensor):
            tensor.share_memory_()
        else:
            share(tensor)
    return batch


def prepare_worker(_: int) -> None:
    """One thread per worker; signals are the main process's business."""
    torch.set_num_threads(1)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def make_loader(dataset: Dataset, plan: BatchPlan, workers: int, device: torch.device, seed: int) -> DataLoader:
    cuda = device.type == "cuda"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more than cores: so the user has it
        return DataLoader(
            dataset if hasattr(dataset, "__getitems__") else Seeded(dataset, seed),
            batch_sampler=plan,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=cuda,
            persistent_workers=workers > 0,
            worker_init_fn=prepare_worker,
            generator=torch.Generator().manual_seed(seed),  # else making an iterator draws from the global one
        )


def make_feeder(options: Namespace, arguments: dict[str, Any]) -> Dataset:
    """The user's feeder; its own complaints pass through, a wrong argument becomes one line.

    The argument ``observe`` is every feeder's: the share of each clip that is seen. Feeders of the lab hand over as
    many people as the network takes.
    """
    feeder_class = import_class(options.feeder, "feeder")
    check_arguments(arguments, f"feeder {options.feeder}")
    arguments = with_skeleton(options, feeder_class, dict(arguments))
    observe = arguments.pop("observe", None)
    if "crop" in arguments and "crop" not in inspect.signature(feeder_class).parameters:
        log_once(f"feeder {options.feeder} takes no crop: it makes its clips as long as its window_size says")
        del arguments["crop"]
    try:
        feeder = feeder_class(**arguments)
    except LabError:
        raise
    except TypeError as error:
        raise UsageError(f"feeder {options.feeder}: {error}") from error
    except OSError as error:
        raise UsageError(f"feeder {options.feeder}: {error.filename or ''}: {error.strerror or error}") from error
    feeder = adopted(feeder, options)
    return feeder if observe is None else observed(feeder, checked_interval(observe, "observe"))


def with_skeleton(options: Namespace, feeder_class: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The feeder's arguments with ``--skeleton``, unless they say one themselves.

    Raises:
        UsageError: a feeder of the lab that reads the clips of one skeleton only, and it is another one.
    """
    given = getattr(options, "skeleton", None)
    if given is None or "skeleton" in arguments:
        return arguments
    if "skeleton" in inspect.signature(feeder_class).parameters:
        return {**arguments, "skeleton": given}
    usual = getattr(feeder_class, "usual", None)
    if usual is not None and layouts.layout(given).name != usual:
        raise UsageError(
            f"--skeleton: feeder {options.feeder} reads archives of {usual} only; take a configuration of another "
            "feeder (of NTU RGB+D), which reads any"
        )
    return arguments


def adopted(feeder: Dataset, options: Namespace) -> Dataset:
    """The feeder with the seed of the run and with as many people as its network takes."""
    count = people(options)
    if count is not None and isinstance(feeder, Feeder):
        feeder.take_people(count)
    if hasattr(feeder, "seed"):
        feeder.seed = options.seed
    return feeder


def observed(feeder: Dataset, shares: tuple[float, ...]) -> Dataset:
    """A copy of the feeder that sees only a share of every clip, from its beginning: (p,), or (a, b) at random.

    Raises:
        UsageError: the feeder is not one of the lab's.
    """
    if not isinstance(feeder, Feeder):
        raise UsageError(
            f"observe: {type(feeder).__name__} is no skeleton_lab.data.feeders.base.Feeder and sees whole clips only"
        )
    feeder = copy.copy(feeder)
    feeder.observe = shares[0], shares[-1]
    return feeder


def corrupted(feeder: Dataset, corruption: Corruption) -> Dataset:
    """A copy of the feeder whose clips suffer a corruption.

    Raises:
        UsageError: the feeder is not one of the lab's, or the corruption cannot happen to its clips.
    """
    if not isinstance(feeder, Feeder):
        raise UsageError(
            f"--corrupt: {type(feeder).__name__} is no skeleton_lab.data.feeders.base.Feeder and reads clips itself"
        )
    if reason := cannot_happen(corruption, feeder.clips, feeder.stored_skeleton):
        raise UsageError(f"--corrupt {corruption.kind}: {reason}")
    feeder = copy.copy(feeder)
    feeder.corruption = corruption
    return feeder


def split_by_subject(options: Namespace, train: Dataset) -> Dataset:
    """Take ``val_share`` of the training subjects away from ``train``; return the feeder that holds their clips.

    Which subjects is drawn from the seed.  The validation feeder is the test feeder, with its steps (so without
    augmentation), on the training clips.

    Raises:
        UsageError: the archive does not tell subjects, or fewer than two; or the feeder cannot be restricted.
    """
    subjects = getattr(getattr(train, "clips", None), "subjects", None)
    if subjects is None or not hasattr(train, "restrict"):
        raise UsageError(f"--val-split subjects: {options.feeder} reads no subjects from this archive; use none")
    subjects = np.asarray(subjects)
    held_out = subjects_apart(subjects, options.val_share, options.seed)
    validation: Any = make_feeder(options, options.test_feeder_args)
    validation.clips, validation.label, validation.sample_name = train.clips, train.label, train.sample_name
    train.restrict(np.flatnonzero(~held_out))
    validation.restrict(np.flatnonzero(held_out))
    return validation


def subjects_apart(subjects: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A mask (N,) of the clips whose subjects are held out: ``share`` of them, at least one, drawn from ``seed``.

    Raises:
        UsageError: there are fewer than two subjects, or ``share`` is none.
    """
    who = np.unique(subjects)
    if len(who) < 2:
        raise UsageError(f"--val-split subjects: the training clips are all of subject {who[0]}; use none")
    if not 0 < share < 1:
        raise UsageError(f"--val-share must lie between 0 and 1, got {share}")
    count = min(max(round(len(who) * share), 1), len(who) - 1)
    return np.isin(subjects, np.random.default_rng(seed).permutation(who)[:count])


def check_labels(feeder: Dataset, classes: int | None, where: str) -> None:
    """Complain about a label outside 0..K-1 before it reaches the loss."""
    labels = getattr(feeder, "label", None)
    if labels is None or classes is None or len(labels) == 0:
        return
    labels = np.asarray(labels)
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise UsageError(
            f"{where} label {labels[wrong].max() if labels[wrong].max() >= classes else labels[wrong].min()} "
            f"(first wrong sample: {wrong[0]}) lies outside 0..{classes - 1}: the model has {classes} classes; "
            "set num_class (SkateFormer: num_classes) in --model-args to the data's number of classes"
        )


def underlying(loader: DataLoader) -> Dataset:
    """The user's feeder behind a loader."""
    return loader.dataset.dataset if isinstance(loader.dataset, Seeded) else loader.dataset


def unpack(batch: Sequence[Tensor], index_t: bool | None = None) -> tuple[list[Tensor], Tensor]:
    """What the network is called with, and the labels: of (data, label), (data, label, index) or, with ``index_t``,
    (data, index_t, label, index). ``data`` may be a tuple of several inputs, each with the clips along its first axis.

    Args:
        index_t: None: there is one if the second part is a matrix, (N, T), and no label.

    Raises:
        UsageError: the items are of another form.
    """
    if index_t is None:
        index_t = len(batch) > 2 and isinstance(batch[1], Tensor) and batch[1].dim() == 2
    inputs = 2 if index_t else 1
    if len(batch) <= inputs:
        raise UsageError(
            f"the feeder's items have {len(batch)} parts; expected data{', index_t' * index_t}, label, ..."
        )
    first = list(batch[0]) if isinstance(batch[0], (tuple, list)) else [batch[0]]
    given = [*first, *batch[1:inputs]]
    labels = torch.as_tensor(batch[inputs]).long()
    wrong = [each for each in given if not isinstance(each, Tensor) or each.shape[:1] != labels.shape]
    if wrong or not given or labels.dim() != 1:
        raise UsageError(
            "the feeder's items are (data, label, index) with one label per item; data is an array or a tuple of "
            f"arrays, not {type(wrong[0]).__name__ if wrong else 'nothing'}"
        )
    return given, labels
