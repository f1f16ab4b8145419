"""Both splits of an archive as a trained network sees them: features, logits, and the descriptor of every clip."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_lab.data.archives import both_splits, clip_groups, sample_names
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.descriptors.beside import NONE, Beside, beside
from skeleton_lab.data.archives.descriptors.files import Descriptors, open_descriptors
from skeleton_lab.data.feeders.base import Feeder, checked_interval
from skeleton_lab.data.feeders.described import Moments, NotingMoments, described
from skeleton_lab.engine.dataloader import check_labels, make_feeder, observed, subjects_apart
from skeleton_lab.engine.shots import drawn
from skeleton_lab.errors import ArchiveError, LabError, UsageError
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.penultimate import FeaturesAlone, WithFeatures
from skeleton_lab.multimodal import kept
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.file_digests import content

SPLITS = ("train", "test")
IN_MEMORY = 512 << 20  # bytes of descriptors that are kept; of more each batch is read anew
HELD_OUT = 0.2  # share of the training subjects who fit the weight of late fusion, where the run held out none


@dataclass
class Frozen:
    """A split by the network as it is: nothing of this changes while heads are trained.

    Attributes:
        features: (N, F) float32 in front of the classifier; logits: (N, K) float32; labels: (N,) int64.
        when: the moments that the network saw.
    """

    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    when: Moments

    def of(self, rows: np.ndarray) -> Frozen:
        return Frozen(self.features[rows], self.logits[rows], self.labels[rows], self.when.of(rows))

    @classmethod
    def joined(cls, parts: Sequence[Frozen]) -> Frozen:
        """One behind the other."""
        features, logits, labels = (
            np.concatenate([getattr(part, key) for part in parts]) for key in ("features", "logits", "labels")
        )
        return cls(features, logits, labels, Moments.joined([part.when for part in parts]))


class Source:
    """Descriptors of the items of a split, batch by batch.

    Args:
        entries: (N,) of the items in ``descriptors``; when: their moments; first: the first descriptor alone.
    """

    def __init__(self, descriptors: Descriptors, entries: np.ndarray, when: Moments, first: bool = False) -> None:
        self._of = descriptors, first
        self.entries, self._when = entries, when
        W = 1 if first or not descriptors.per_frame else when.frames.shape[1]
        fits = len(entries) * W * descriptors.D * 4 <= IN_MEMORY
        self._all = self._read(np.arange(len(entries))) if fits else None

    def _read(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        descriptors, first = self._of
        made = described(descriptors, self.entries[rows], self._when.of(rows), first)
        return torch.from_numpy(made[0]), torch.from_numpy(made[1])

    def __call__(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """(B, W, D) float32, and (B, W) bool where they exist."""
        if self._all is None:
            return self._read(rows)
        at = torch.from_numpy(rows)
        return self._all[0][at], self._all[1][at]


@dataclass
class Task:
    """What a table is made of.

    Attributes:
        parts: clips by split; frozen: the same by the network; descriptors, entries: beside them, by split.
        train: rows of the training split that heads learn from; held: rows by which late fusion is fitted, none where
            nothing tells the subjects.
        unseen: whether the network was not trained on ``held`` either.
        names: of the clips by split, None where nothing tells. known_before: test clips that the network was trained
            on, as far as names tell.
    """

    parts: dict[str, Clips]
    frozen: dict[str, Frozen]
    descriptors: Descriptors
    entries: dict[str, np.ndarray]
    train: np.ndarray
    held: np.ndarray
    unseen: bool
    names: dict[str, list[str]] | None
    known_before: int = 0

    @property
    def classes(self) -> int:
        return self.frozen["test"].logits.shape[1]

    @property
    def learned_from(self) -> str:
        """Digest of the clips that heads learn from, and of those that late fusion is fitted by."""
        rows = repr((self.train.tolist(), self.held.tolist(), self.unseen))
        return blake2b(rows.encode(), digest_size=16).hexdigest()

    def known(self, split: str) -> np.ndarray:
        """(N,) bool, whether a clip's descriptor has been seen by the time that is observed."""
        entries, when = self.entries[split], self.frozen[split].when
        lengths = np.where(entries == NONE, 0, self.descriptors.lengths[entries])
        seen = np.where(when.seen >= when.total, lengths, lengths * when.seen // np.maximum(when.total, 1))
        return (seen > 0) & ((when.total > 0) | (not self.descriptors.per_frame))


def found_beside(options: Namespace) -> tuple[dict[str, Clips], Beside]:
    """The archive's splits, and the descriptors that belong to them.

    Raises:
        UsageError, ArchiveError and its kin: there are not both splits, or no clip of one of them has a descriptor; the
            share that is observed leaves nothing of descriptors of whole clips.
    """
    parts = both_splits.open_source(options.data, layout=options.layout)
    if set(parts) != set(SPLITS):
        raise ArchiveError(f"--data {options.data}: has the {next(iter(parts))} split alone; both are needed")
    found = beside(open_descriptors(options.descriptors), parts, options.data)
    for split in SPLITS:
        if len(found.missing(split)) == len(parts[split]):
            raise ArchiveError(f"--descriptors {options.descriptors}: no {split} clip has one")
    if options.observe < 1 and not found.descriptors.per_frame:
        raise UsageError(
            f"--observe {options.observe:g}: {options.descriptors} has one descriptor of each whole clip, which knows "
            "its end; give one for each frame"
        )
    return parts, found


def feeder_of(network: Network, options: Namespace, split: str) -> Feeder:
    """The network's test feeder on a split, observed as far as asked."""
    feeder = network.archive_feeder(options.data, split, None, None, options.layout)
    check_labels(feeder, network.K, split)
    if options.observe == 1:
        if feeder.observe != (1, 1):
            told = network.arguments["observe"]
            raise UsageError(f"--config {network.config}: its test feeder has observe={told}; give --observe the share")
        return feeder
    cut = observed(feeder, checked_interval(options.observe, "observe"))
    assert isinstance(cut, Feeder)
    return cut


def frozen_of(network: Network, options: Namespace, split: str) -> Frozen:
    """One pass over a split; two where a sample is several clips, whose logits are averaged in the test's own way.

    Raises:
        UsageError: features are not finite, or unknown.
    """
    feeder, plain = feeder_of(network, options, split), network.model
    noting: Any = NotingMoments(feeder)
    several = getattr(feeder, "num_clips", 1) > 1
    try:
        if several:
            logits = network.logits(feeder, f"{split} clips")
            network.model, noting.average_clips = FeaturesAlone(plain), "score"
            features = network.logits(noting, f"{split} features")
        else:
            network.model = wrapped = WithFeatures(plain)
            both = network.logits(noting, f"{split} clips")
            logits, features = both[:, : wrapped.K], both[:, wrapped.K :]
    finally:
        network.model = plain
    if not (np.isfinite(features).all() and np.isfinite(logits).all()):
        raise UsageError(f"--weights {network.weights}: features of {split} clips are not finite: damaged weights?")
    return Frozen(features, logits, feeder.label.astype(np.int64), noting.moments)


def frozen_in(path: Path, counts: Mapping[str, int], make: Callable[[], dict[str, Frozen]]) -> dict[str, Frozen]:
    """The splits of a file, made and written where it is not there; ``counts``: clips by split.

    Raises:
        UsageError: the file is damaged.
    """
    if not path.is_file():
        made = make()
        arrays: dict[str, Any] = {
            f"{split}_{key}": value for split, each in made.items() for key, value in _arrays(each).items()
        }
        write_atomically(path, lambda file: np.savez(file, **arrays))
        return made
    arrays = kept.arrays(path, {f"{split}_{key}": counts[split] for split in SPLITS for key in KEYS})
    return {split: _of_arrays({key: arrays[f"{split}_{key}"] for key in KEYS}) for split in SPLITS}


KEYS = ("features", "logits", "labels", "frames", "total", "seen")


def _arrays(each: Frozen) -> dict[str, np.ndarray]:
    values = (each.features, each.logits, each.labels, each.when.frames, each.when.total, each.when.seen)
    return dict(zip(KEYS, values))


def _of_arrays(arrays: dict[str, np.ndarray]) -> Frozen:
    features, logits, labels, *when = (arrays[key] for key in KEYS)
    return Frozen(features, logits, labels, Moments(*when))


def task_of(network: Network, options: Namespace, parts: dict[str, Clips], found: Beside, cache: Path) -> Task:
    """Everything that heads are trained on.

    Raises:
        UsageError: the network was trained on some classes only, no descriptor is known at the share that is observed,
            or what ``frozen_of`` raises.
    """
    if network.options.classes is not None:
        raise UsageError(
            f"--config {network.config}: the network was trained on some classes only (--classes); take one of all"
        )
    order = {split: _order(feeder_of(network, options, split).clips, clips) for split, clips in parts.items()}
    counts = {split: len(rows) for split, rows in order.items()}  # a feeder may leave clips out
    frozen = frozen_in(cache, counts, lambda: {split: frozen_of(network, options, split) for split in SPLITS})
    told = sample_names.of_parts(parts)
    names = None if told is None else {split: [told[split][k] for k in rows] for split, rows in order.items()}
    parts = {split: clips.subset(order[split]) for split, clips in parts.items()}
    entries = {split: found.entries[split][rows] for split, rows in order.items()}
    subjects = parts["train"].subjects
    if subjects is None and names is not None:
        subjects = clip_groups.subjects_of(names["train"])
    rows = np.arange(len(parts["train"]))
    learned = _training_clips(network)
    trained_here = _trained_on(network, learned, options.data, parts["train"])
    unseen = network.options.val_split == "subjects" and trained_here
    held = np.zeros(len(rows), bool)
    if subjects is not None and len(np.unique(subjects)) > 1:
        share, seed = (network.options.val_share, network.options.seed) if unseen else (HELD_OUT, 1)
        held = subjects_apart(np.asarray(subjects), share, seed)
    train = rows[~held] if unseen else rows  # what the network itself was trained on
    if network.options.shots is not None and trained_here:
        train = train[drawn(parts["train"].labels[train], network.options.shots, network.options.seed)]
    before = _known_before(learned, None if names is None else names["test"])
    task = Task(parts, frozen, found.descriptors, entries, train, rows[held], unseen, names, before)
    for split, some in (("train", train), ("test", slice(None))):
        if not task.known(split)[some].any():
            raise UsageError(
                f"--observe {options.observe:g}: of {split} clips no stretch that a descriptor is of is over by then; "
                "observe more, or give descriptors of more frames"
            )
    return task


def _order(fed: Clips, clips: Clips) -> np.ndarray:
    """The row in ``clips`` of each of a feeder's: some feeders read a pickle in the order in which it is stored."""
    row = {place: k for k, place in enumerate(clips.places(np.arange(len(clips))).tolist())}
    return np.array([row[place] for place in fed.places(np.arange(len(fed))).tolist()], np.int64)


def _training_clips(network: Network) -> Clips | None:
    """What the network was trained on, before any subjects were held out; None where that is not here any more."""
    with contextlib.suppress(LabError, OSError):
        feeder = make_feeder(network.options, network.options.train_feeder_args)
        return feeder.clips if isinstance(feeder, Feeder) else None
    return None


def _trained_on(network: Network, learned: Clips | None, data: Path, train: Clips) -> bool:
    """Whether the network learned from the clips ``train`` of an archive; by its name where ``learned`` is not here."""
    if learned is not None:
        same = np.array_equal(learned.labels, train.labels) and learned.names == train.names
        return same and content(learned.path) == content(train.path)
    args, own = network.options.train_feeder_args, both_splits.located(data, "train")[0].absolute()
    told = [Path(str(args[key])) for key in ("data_path", "root") if args.get(key)]
    parts = 1 if own == data.absolute() else 2  # the arrays of a folder are called the same everywhere
    return any(path.parts[-parts:] == own.parts[-parts:] for path in told)


def _known_before(learned: Clips | None, tested: Sequence[str] | None) -> int:
    """How many of the test clips the network was trained on, as far as names tell, in forms that keep clips apart."""
    told = None if learned is None else sample_names.of_parts({"train": learned})
    if told is None or tested is None or sample_names.numbered(tested) or sample_names.numbered(told["train"]):
        return 0
    shared = [0]
    for form in sample_names.FORMS:
        parts = [{form(name) for name in names} for names in (told["train"], tested)]
        if all(len(part) == len(set(names)) for part, names in zip(parts, (told["train"], tested))):
            shared.append(len(parts[0] & parts[1]))
    return max(shared)


def digest_of(data: Path, parts: Mapping[str, Clips]) -> str:
    """Of an archive: of pieces of its files, and of all that is small and counts, labels, names and subjects."""
    found = blake2b(content(data).encode(), digest_size=16)
    for split, clips in parts.items():
        subjects = None if clips.subjects is None else np.asarray(clips.subjects).tolist()
        found.update(repr((split, clips.labels.tolist(), clips.names, subjects)).encode(errors="surrogatepass"))
    return found.hexdigest()
