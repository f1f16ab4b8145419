"""A trained room's features and logits in the published layout of the zero-shot methods, ``sk_feats/<ve>_<ss>_<st>/``.

Features are the vectors in front of the classifier (``heads.WithFeatures``), logits have a column for every class;
those of classes that the network was not trained on are the smallest of the row minus 1.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.class_splits import Split
from skeleton_lab.data.archives.npy_format import open_npy
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.engine.config.class_list import parse
from skeleton_lab.engine.dataloader import subjects_apart
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.penultimate import WithFeatures
from skeleton_lab.utils import file_digests
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.zero_shot.features import ownership

BLOCK = 2048  # clips between saves
MOST = 0.2  # share of a class that is held out at most, where its clips are few
KNOWN = 0.2  # agreement beyond chance with the labels of unseen classes above which a network has seen them
STRANGE = 0.1  # share of unseen clips with an unseen answer above which that is said
LABELS = {"train": "train_label", "ztest": "z_label", "gtest": "g_label", "val": "val_label"}
LOGITS = {"train": ("ztest", "gtest"), "val": ("ztest", "val")}  # by phase: of these


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Attributes:
        archive, label_path, layout: the data; split: of the classes; phase: train or val.
        held_out: clips of every class, of the training part, for the file ``val``; seed: which ones.
        allow_leak: take the network though its training may have seen the unseen classes.
    """

    archive: Path
    split: Split
    phase: str
    label_path: Path | None = None
    held_out: int = 40
    seed: int = 0
    allow_leak: bool = False
    layout: str | None = None

    def feeder(self, network: Network, part: str, rows: Sequence[int] | None = None) -> Feeder:
        """The network's test feeder on some rows of a part of the archive."""
        return network.archive_feeder(self.archive, part, self.label_path, rows, self.layout)


def folder_name(ve: str, ss: int, st: str, phase: str) -> str:
    """``shift_5_r``, ``shift_val_5_r``."""
    return f"{ve}_val_{ss}_{st}" if phase == "val" else f"{ve}_{ss}_{st}"


def check_network(network: Network, order: Order) -> None:
    """Refuse a network that has seen the unseen classes, as far as its configuration tells.

    Raises:
        UsageError: its outputs or its ``classes`` do not go with the split.
    """
    n, options = order.split.num_class, network.options
    if n != network.K:
        raise UsageError(f"--config: the network has {network.K} outputs and --ntu says {n} classes")
    if order.allow_leak:
        return
    right = f"ntu{n}_{n - _unseen(order)}_{_unseen(order)}:{'val_seen' if order.phase == 'val' else 'seen'}"
    for where, trained in [("--config", options.classes), *_told_beside(network.weights)]:
        if trained is None:
            why = "on all classes, the unseen ones too"
        elif np.array_equal(parse(trained), order.split.seen):
            continue
        else:
            leak = np.intersect1d(parse(trained), order.split.unseen)
            why = f"with --classes {trained}, and "
            why += f"class {leak[0]} is unseen here" if leak.size else "other classes are seen here"
        raise UsageError(
            f"{where}: the network was trained {why}; the split's is --classes {right} (--allow-leak: all the same)"
        )


def _told_beside(weights: Path) -> list[tuple[str, str | None]]:
    """What the configuration of the run that wrote ``weights`` says of its classes, where it lies there."""
    folder = weights.parent.parent if weights.parent.name == "weights" else weights.parent
    path = folder / "config.yaml"
    return [(str(path), yaml_file.read(path).get("classes"))] if path.is_file() else []


def _unseen(order: Order) -> int:
    return len(order.split.unseen)


def rows_of(order: Order, network: Network) -> dict[str, tuple[str, np.ndarray]]:
    """File name -> part of the archive and rows of it.

    Validation holds out the subjects that the training of the network did not see (``--val-split subjects``), else
    some clips of each class; these the network has seen, and its logits on them are surer than on new ones.

    Raises:
        UsageError: the archive lacks clips of the seen or the unseen classes.
    """
    seen, unseen = order.split.seen, order.split.unseen
    train = order.feeder(network, "train")
    test = order.feeder(network, "test")
    rows = {
        "train": ("train", np.flatnonzero(np.isin(train.label, seen))),
        "ztest": ("test", np.flatnonzero(np.isin(test.label, unseen))),
    }
    if order.phase == "train":
        rows["gtest"] = ("test", np.arange(len(test.label)))
    else:
        known = rows["train"][1]
        options = network.options
        if options.val_split == "subjects":
            subjects = getattr(train.clips, "subjects", None)
            if subjects is None:
                raise UsageError(f"{order.archive}: tells no subjects, by which --config held out its validation clips")
            apart = subjects_apart(np.asarray(subjects)[known], options.val_share, options.seed)
        else:
            apart = _some_of_each(train.label[known], order)
        rows |= {"train": ("train", known[~apart]), "val": ("train", known[apart])}
    for name, (part, found) in rows.items():
        if not len(found):
            kind = "unseen" if name == "ztest" else "seen"
            raise UsageError(f"{order.archive}: the {part} part has no clip of the {kind} classes for {name}.npy")
    return rows


def _some_of_each(labels: np.ndarray, order: Order) -> np.ndarray:
    """A mask of ``held_out`` clips of each class, at most a share of it, at least one of two or more."""
    rng, mask = np.random.default_rng(order.seed), np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(order.held_out, max(int(MOST * len(rows)), 1), len(rows) - 1)
        mask[rng.permutation(rows)[:count]] = True
    return mask


def masked(logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Logits (N, n) float32 whose columns of other classes are the row's smallest seen logit minus 1."""
    result = np.repeat(logits[:, seen].min(1, keepdims=True) - 1, logits.shape[1], axis=1)
    result[:, seen] = logits[:, seen]
    return result.astype(np.float32)


def check_logits(logits: np.ndarray, labels: np.ndarray, order: Order) -> str | None:
    """Refuse a network whose logits tell clips of unseen classes from each other by the outputs of these classes.

    A network that was trained without them answers with one of their outputs next to never, and where it does (hardly
    trained, say) not by the clip's label. Measured is Cohen's kappa of answers and labels.

    Args:
        logits: (N, n) of all classes, of clips of unseen classes with ``labels`` (N,).

    Returns:
        A warning, or None.

    Raises:
        UsageError: it has seen them.
    """
    answers = logits.argmax(1)
    of_unseen = ~np.isin(answers, order.split.seen)
    right = float((answers == labels).mean())
    chance = sum(float((labels == cls).mean() * (answers == cls).mean()) for cls in np.unique(labels))
    share, kappa = float(of_unseen.mean()), (right - chance) / max(1 - chance, 1e-9)
    told = f"{100 * share:.0f} % of the clips of unseen classes get an unseen class as the largest logit"
    if kappa > KNOWN and not order.allow_leak:
        raise UsageError(
            f"--weights: {told}, {100 * right:.0f} % the right one: this network was trained on these classes, "
            "whatever its configuration says (--allow-leak: all the same)"
        )
    if share <= STRANGE:
        return None
    return f"warning: {told}; a network trained without them hardly ever does that: barely trained, or not without them"


def extract(network: Network, order: Order, folder: Path, say: Callable[[str], None] = print) -> dict[str, tuple]:
    """Write the files of ``folder``, unless they were made from the same things before; return file name -> shape.

    The folder belongs to one network, configuration, archive and split. A block of clips that is done is kept in
    ``folder/.parts`` until everything is, so a run that was stopped goes on.

    Raises:
        UsageError: network, split and archive do not go together, or the folder belongs to others.
    """
    check_network(network, order)
    rows = rows_of(order, network)
    owner = ownership.Owner(_fingerprint(network, order, rows), _told(network, order))
    if (shapes := owner.finished(folder)) is not None:
        return shapes
    with ownership.writing(folder):
        owner.claim(folder, say)
        return _made(network, order, folder, rows, owner, say)


def _made(
    network: Network, order: Order, folder: Path, rows: dict[str, tuple[str, np.ndarray]], owner: ownership.Owner,
    say: Callable[[str], None],
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Compute and write; the folder is the owner's."""
    parts = folder / ".parts" / owner.fingerprint
    network.model = WithFeatures(network.model)
    shapes = {}
    for name in sorted(rows, key=lambda name: name != "ztest"):  # which tells whether the network has seen it, first
        part, chosen = rows[name]
        labels, blocks = _blocks(network, order, part, chosen, parts / name, name)
        both = np.concatenate(list(blocks))
        logits, features = both[:, : network.K], both[:, network.K :]
        if not np.isfinite(both).all():
            raise UsageError(f"the network's output on {name} is not finite; its weights are damaged")
        if name == "ztest" and (warning := check_logits(logits, labels, order)) is not None:
            say(warning)
        made = {name: np.ascontiguousarray(features), LABELS[name]: labels}
        if name in LOGITS[order.phase]:
            made[f"{name}_out"] = masked(logits, order.split.seen)
        for file_name, array in made.items():
            _save(folder / f"{file_name}.npy", array)
            shapes[file_name] = array.shape
    owner.finish(folder, shapes)
    shutil.rmtree(folder / ".parts", ignore_errors=True)
    return shapes


def _blocks(
    network: Network, order: Order, part: str, chosen: np.ndarray, parts: Path, title: str
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Labels, and logits beside features in blocks, computed or read back."""
    feeder = order.feeder(network, part, chosen)
    labels = feeder.label.astype(np.int64)

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, len(chosen), BLOCK):
            path, wanted = parts / f"{first}.npy", chosen[first : first + BLOCK]
            if not path.is_file() or len(open_npy(path).read()) != len(wanted):
                block = order.feeder(network, part, wanted)
                _save(path, network.logits(block, f"{title} {first}/{len(chosen)}"))
            yield open_npy(path).read()

    return labels, blocks()


def _fingerprint(network: Network, order: Order, rows: dict[str, tuple[str, np.ndarray]]) -> str:
    """Of everything that the blocks depend on: weights, configuration, content of the archive, rows.

    Not of names and times: a copy of the archive is the same archive.
    """
    digest = hashlib.sha256()
    places = {"data_path", "label_path", "root"}
    arguments = {key: value for key, value in network.arguments.items() if key not in places}
    options = network.options
    told: tuple[Any, ...] = (
        arguments,
        options.model,
        options.model_args,
        options.feeder,
        order.phase,
        order.split.seen,
    )
    digest.update(repr(told).encode())
    digest.update(file_digests.content(order.archive).encode())
    if order.label_path is not None:
        digest.update(file_digests.content(order.label_path).encode())
    for name, value in network.net.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    for part in ("train", "test"):
        labels = order.feeder(network, part).label
        digest.update(np.asarray(labels, np.int64).tobytes())
    for name, (part, chosen) in rows.items():
        digest.update(f"{name} {part}".encode() + chosen.astype(np.int64).tobytes())
    return digest.hexdigest()[:24]


def _told(network: Network, order: Order) -> dict[str, str]:
    """For people: from what a folder was made."""
    return {"weights": str(network.weights.absolute()), "archive": str(order.archive), "phase": order.phase}


def _save(path: Path, array: np.ndarray) -> None:
    try:
        write_atomically(path, lambda file: np.save(file, array))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
