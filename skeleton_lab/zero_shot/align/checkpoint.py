"""The files of stages 1 and 2: published checkpoints, scores, and the side file from which training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from skeleton_lab.engine.checkpoint import load_tensors, save_tensors, weights_of
from skeleton_lab.engine.work_dir import PREVIOUS, next_previous
from skeleton_lab.errors import UsageError, WeightsError
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.zero_shot.align.settings import METRICS, SEEDS, load_json
from skeleton_lab.zero_shot.model.fused.packed import Packed
from skeleton_lab.zero_shot.model.vae import MLP, TRAINED

SIDE = "resume.pth.tar"
FORMAT = 1
CLASSIFIERS = ("classifier.pth.tar", "clasifier.pth.tar")  # the published programs read the second spelling


def move_earlier(folder: Path) -> Path | None:
    """Move what an earlier run and its gate left to ``previous/<n>/``; nothing is deleted, nothing of two runs mixed.

    Returns:
        The folder that they went to, None if there was no earlier run.
    """
    if not any((folder / name).exists() for name in (SIDE, SEEDS, *CLASSIFIERS)):
        return None
    target = next_previous(folder)
    target.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.name != PREVIOUS:
            path.replace(target / path.name)
    return target


def restore_optimizer(packed: Packed, content: Mapping[str, Any], path: Path) -> None:
    """Load a state of ``Packed.state`` or of a published file; WeightsError if it does not fit."""
    try:
        packed.restore(content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: its optimizer state does not fit these networks ({error})") from error


def save_networks(folder: Path, packed: Packed, epoch: int) -> None:
    """``{se,sd,te,td}_<epoch>.pth.tar``; the file of se also holds the optimizer of all four."""
    for name in TRAINED:
        content = {"epoch": epoch + 1, "state_dict": weights_of(packed.networks[name])}
        if name == "se":
            content["optimizer"] = packed.state()
        save_tensors(folder / f"{name}_{epoch}.pth.tar", content)


def load_networks(folder: Path, networks: nn.ModuleDict, epoch: int) -> dict[str, Any] | None:
    """Load what ``save_networks`` or a published program wrote; returns the optimizer's state, None if not there.

    Raises:
        UsageError: a file is missing.
        WeightsError: it is damaged or made with other sizes.
    """
    optimizer = None
    for name in TRAINED:
        path = folder / f"{name}_{epoch}.pth.tar"
        if not path.is_file():
            there = sorted(int(p.name[3:-8]) for p in folder.glob("se_*.pth.tar") if p.name[3:-8].isdigit())
            known = f"there are epochs {', '.join(map(str, there))}" if there else "there are no checkpoints"
            raise UsageError(f"--load_epoch {epoch}: there is no {path}; {known}")
        content = load_tensors(path)
        _load_into(networks[name], content, path)
        optimizer = content.get("optimizer", optimizer)
    return optimizer


def _load_into(network: nn.Module, content: Any, path: Path) -> None:
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise WeightsError(f"{path}: holds no 'state_dict'")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{path}: does not fit; --latent_size, --tm and the method must be as then ({reason})"
        ) from (error)


def save_classifier(folder: Path, classifier: MLP, epoch: int) -> None:
    """With the epoch behind which it was trained, as in the networks' files."""
    save_tensors(folder / CLASSIFIERS[0], {"epoch": epoch + 1, "state_dict": weights_of(classifier)})


def load_classifier(folder: Path, latent: int, unseen: int, epoch: int) -> tuple[MLP, bool]:
    """The classifier of a run, and whether it is known to go with the networks of ``epoch``.

    Raises:
        UsageError: there is none, or it was trained on the networks of another epoch.
        WeightsError: it is damaged or of other sizes.
    """
    path = _classifier_path(folder)
    if path is None:
        raise UsageError(f"--load_classifier: there is neither {CLASSIFIERS[0]} nor {CLASSIFIERS[1]} in {folder}")
    classifier = MLP([latent, unseen])
    _load_into(classifier, load_tensors(path), path)
    trained = classifier_epoch(folder)
    if trained is not None and trained != epoch:
        raise UsageError(
            f"--load_classifier: {path} was trained on the networks of epoch {trained}, not {epoch}; give --load_epoch "
            f"{trained}, or leave --load_classifier out, and a classifier is trained for epoch {epoch}"
        )
    return classifier, trained is not None


def classifier_epoch(folder: Path) -> int | None:
    """Behind which epoch the saved classifier was trained: by its file, else by ``train.json``; None: nobody tells."""
    path = _classifier_path(folder)
    content = load_tensors(path) if path is not None else None
    if isinstance(content, dict) and isinstance(content.get("epoch"), int):
        return content["epoch"] - 1
    if path is None or not (folder / METRICS).is_file():
        return None
    told = load_json(folder / METRICS)
    length, cycle = told.get("num_epoch_per_cycle"), told.get("best_cycle")  # from before there was a choice
    return length * (cycle + 1) - 1 if isinstance(length, int) and isinstance(cycle, int) else None


def _classifier_path(folder: Path) -> Path | None:
    return next((folder / name for name in CLASSIFIERS if (folder / name).is_file()), None)


def save_array(path: Path, array: np.ndarray) -> None:
    write_atomically(path, lambda file: np.save(file, array))


def save_side(folder: Path, content: dict[str, Any]) -> None:
    save_tensors(folder / SIDE, {"format": FORMAT, **content})


def load_side(folder: Path) -> dict[str, Any] | None:
    """What training left to go on from, None if nothing; WeightsError if it is damaged."""
    path = folder / SIDE
    if not path.is_file():
        return None
    content = load_tensors(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WeightsError(f"{path}: is no side file of this program; without it training starts over")
    return content
