"""What notebooks and scripts call: networks, data sets, training by the name of a paper (docs/python.md)."""

from __future__ import annotations

import inspect
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skeleton_lab import registry
from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.opening import SPLITS
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder
from skeleton_lab.engine import evaluate as evaluation
from skeleton_lab.engine import size_checks
from skeleton_lab.engine.config import options as settings
from skeleton_lab.engine.config.flags import FLAGS
from skeleton_lab.engine.config.values import convert
from skeleton_lab.engine.dataloader import check_labels, make_feeder
from skeleton_lab.engine.network import make_net
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.nn import fuse, unfuse
from skeleton_lab.utils import devices
from skeleton_lab.utils.importing import import_class

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    from skeleton_lab.engine.evaluate import Evaluation
    from skeleton_lab.engine.notebook import FitResult

File = str | Path
STREAMS = {"joint": (False, False), "bone": (True, False), "joint_motion": (False, True), "bone_motion": (True, True)}
ARGUMENTS = "; give the arguments that it was trained with, or config= with the config.yaml of its run"
BUILT = "_model_args"  # where a network keeps its arguments, with which evaluate compares the clips
ZERO_SHOT = {"vis_dim": 256, "text_dim": 512, "latent": 100}  # features of a network, of CLIP's ViT-B/32; published


def list_models() -> list[str]:
    """The names that ``create_model``, ``create_dataset``, ``fit`` and ``Predictor`` take."""
    return sorted(each.name for each in registry.MODELS)


def create_model(
    name: str, weights: File | None = None, fused: bool = True, *, config: File | None = None, **model_args: Any
) -> nn.Module:
    """A network, with the arguments of its published configuration unless others are given.

    It is in training mode, as PyTorch's networks are: call ``eval()`` before you call it yourself.

    Args:
        name: of ``list_models()``. The zero-shot methods return their four networks ``se``, ``sd``, ``te``, ``td``.
        weights: a file of a training, of this lab or published; by default the network is freshly initialised.
        fused: in the form that computes the same with less, else as the paper prints it (which can be exported).
        config: YAML file in place of the published configuration, as ``config.yaml`` of a run.
        model_args: of the network's constructor, such as ``num_class=10``.

    Raises:
        UsageError: an unknown name or argument, or values that the network does not take.
        WeightsError: the file is missing, damaged, or does not fit.
    """
    this = registry.model(name)
    if this.config is None:
        return _zero_shot(this, weights, fused, config, model_args)
    options = _options(this, config, phase="model_size", model_args=model_args)
    with registry.room(this.room):
        _check_names(this.name, import_class(options.model, "model"), model_args)
        net = make_net(options)  # fused even where plain is wanted: twins are found while the room is open
    if weights is not None:
        load_weights(
            net, Path(weights), ignore=options.ignore_weights, strict=True, complete=True, hint=ARGUMENTS,
            say=partial(print, file=sys.stderr),
        )  # fmt: skip
    vars(net)[BUILT] = options.model_args
    return net if fused else unfuse(net)


def _zero_shot(
    this: registry.Model, weights: File | None, fused: bool, config: File | None, sizes: dict[str, Any]
) -> nn.Module:
    from skeleton_lab.zero_shot.model.variants import build

    if weights is not None or config is not None:
        raise UsageError(
            f"create_model: {this.name} has no configuration, and keeps its four networks in files of a run's folder: "
            "leave weights and config out, and load each by load_state_dict"
        )
    _check_names(this.name, ZERO_SHOT, sizes)
    net = fuse(build(str(registry.find(this.room).variant), **{**ZERO_SHOT, **sizes}))
    return net if fused else unfuse(net)


def _check_names(name: str, taker: Any, given: dict[str, Any]) -> None:
    """UsageError for an argument that ``taker``, a constructor or a table of names, does not have."""
    accepted: list[str] = list(taker) if isinstance(taker, dict) else []
    if not accepted:
        parameters = inspect.signature(taker).parameters.values()
        if any(each.kind is each.VAR_KEYWORD for each in parameters):
            return
        accepted = [each.name for each in parameters]
    for word in given:
        if word not in accepted:
            raise UsageError(
                f"{name} takes no argument '{word}'.{nearest(word, accepted)} It takes {', '.join(accepted)}"
            )


def _options(this: registry.Model, config: File | None, **values: Any) -> settings.Options:
    """Options of the model's room under its published configuration, or another."""
    room = registry.find(this.room)
    other = {"model": this.network} if this.network and config is None else {}
    where = str(this.path if config is None else config)
    return settings.from_values(room.recipe, {"config": where, **other, **values}, room.path)


def create_dataset(
    name: str,
    path: File | Clips | tuple[np.ndarray, np.ndarray],
    split: str = "test",
    stream: str = "joint",
    *,
    config: File | None = None,
    label_path: File | None = None,
    **feeder_args: Any,
) -> Feeder:
    """What a network is fed with: the room's own feeder, with the arguments of its published configuration.

    Args:
        name: of ``list_models()``.
        path: an archive in any accepted layout (docs/data.md); the clips of one (``open_archive``); or a pair of
            arrays, clips (N, C, T, V, M) and their classes (N,).
        split: "train" or "test": that part of the archive, with the published augmentation in training.
        stream: "joint", "bone", "joint_motion" or "bone_motion".
        config: YAML file in place of the published configuration.
        label_path: labels of a .npy archive; by default those beside it.
        feeder_args: of the feeder's constructor, such as ``window_size=64``.

    Returns:
        A ``torch.utils.data.Dataset``; for a ``DataLoader``, ``collate_fn`` is the identity, because a batch is one
        call of ``__getitems__``.

    Raises:
        UsageError: an unknown name, split, stream, or a value that cannot work. FeederArgumentError: an unknown
            argument. ArchiveError, ArchiveNotFoundError, ArchiveKeyError: the archive is missing or not usable.
    """
    this = registry.supervised(name, "create_dataset")
    if path is None:
        raise UsageError("create_dataset: path is None; give an archive, clips of open_archive, or a pair of arrays")
    for what, word, known in (("split", split, SPLITS), ("stream", stream, tuple(STREAMS))):
        if word not in known:
            raise UsageError(f"{what} '{word}': choose from {', '.join(known)}.{nearest(str(word), known)}")
    options = _options(this, config)
    options.seed = options.seed or 0  # some programs draw theirs
    with registry.room(this.room):
        feeder_class = import_class(options.feeder, "feeder")
        place = _place(feeder_class, path, split, label_path)
        told = options.train_feeder_args if split == "train" else options.test_feeder_args
        arguments = {**told, **_stream(feeder_class, stream), **place, **feeder_args}
        feeder = make_feeder(options, arguments)
    if not isinstance(feeder, Feeder):
        raise UsageError(f"create_dataset: {options.feeder} is no feeder of this lab")
    return feeder


def _place(feeder_class: type, path: Any, split: str, label_path: File | None) -> dict[str, Any]:
    """The arguments that say where the clips are, and which part of them."""
    clips = ArrayClips(*path) if isinstance(path, tuple) else path if isinstance(path, Clips) else None
    where = clips if clips is not None else str(path)
    if issubclass(feeder_class, UCLAFeeder):
        return {"root": where, "data_path": "joint", "label_path": "train" if split == "train" else "val"}
    made: dict[str, Any] = {"data_path": where, "label_path": None}
    if clips is None:
        data, label = both_splits.located(Path(path), split, label_path)
        made = {"data_path": str(data), "label_path": None if label is None else str(label)}
    return made | ({"split": split} if "split" in inspect.signature(feeder_class).parameters else {})


def _stream(feeder_class: type, stream: str) -> dict[str, Any]:
    """A stream in the words of the room's feeder."""
    accepted = inspect.signature(feeder_class).parameters
    bone, motion = STREAMS[stream]
    if "data_type" in accepted:
        return {"data_type": ("b" if bone else "j") + ("m" if motion else "")}
    if {"bone", "vel"} <= set(accepted):
        return {"bone": bone, "vel": motion}
    if stream == "joint":
        return {}
    raise UsageError(f"stream '{stream}': {feeder_class.__module__}.{feeder_class.__name__} has joints only")


def evaluate(
    net: nn.Module, data: Dataset | DataLoader, *, device: str | int | torch.device | None = None, batch_size: int = 64
) -> Evaluation:
    """What a network says about every sample of a data set, and how often it is right.

    Args:
        net: in evaluation mode meanwhile; it is moved to the device.
        data: of ``create_dataset``, read in batches of ``batch_size``; or a loader of batches (data, label, ...).
        device: "cpu", a number of a GPU, "cuda:1"; without any GPU it is the CPU. None: where the network is.

    Returns:
        ``logits`` (N, K) and ``labels`` (N,) in the order of the data, ``top1`` and ``top5`` (fractions).

    Raises:
        UsageError: no such device, no sample, batches of another form, clips or labels of another size than the
            network's.
    """
    if not callable(net):
        raise UsageError(f"evaluate: the first argument is no network (create_model makes one) but {net!r}")
    if isinstance(data, (str, Path)) or not hasattr(data, "__len__"):
        raise UsageError(f"evaluate: the second argument is no data set (create_dataset makes one) but {data!r}")
    place = None if device is None else _device(device)
    arguments = getattr(net, BUILT, None)
    shape = size_checks.clip_shape(data) if isinstance(data, Feeder) else None
    if arguments is not None and shape is not None:
        size_checks.check_clips(shape, Namespace(model_args=arguments), net, "the")
    result = evaluation.evaluate(net, data, device=place, batch_size=batch_size)
    if isinstance(data, Feeder):
        check_labels(data, result.logits.shape[1], "the")
    return result


def _device(wanted: str | int | torch.device) -> str:
    """PyTorch's name of a device; where there is no GPU at all it is the CPU, with a line on stderr."""
    found = devices.resolve(convert(FLAGS["device"], str(wanted).split(), "device"))
    if found.notice:
        print(found.notice, file=sys.stderr)
    return f"cuda:{found.indices[0]}" if found.indices else "cpu"


def fit(
    name: str,
    train: Any,
    test: Any = None,
    *,
    work_dir: File,
    config: File | None = None,
    device: str | int = "cpu",
    **options: Any,
) -> FitResult:
    """Train a network by its published recipe, as ``main.py`` of its room does, in this process.

    Args:
        name: of ``list_models()``; config: YAML file in place of the published configuration.
        train, test: data sets (``create_dataset``); without ``test`` nothing is evaluated.
        work_dir: folder for everything that the run writes.
        device: "cpu", a number of a GPU, "cuda:1".
        options: flags of ``main.py`` by their names: ``num_epoch=65``, ``batch_size=16``, ``resume=True`` ...

    Raises:
        UsageError: an unknown name or option, or data that the network cannot take.
    """
    from skeleton_lab.engine.notebook import fit as trained

    this = registry.supervised(name, "fit")
    if this.network is not None and config is None:
        options = {"model": this.network, **options}
    where = this.path if config is None else config
    return trained(this.room, train, test, work_dir=work_dir, config=where, device=device, **options)
