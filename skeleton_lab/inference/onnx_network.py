"""An exported network, run by onnxruntime: the feeder and the windows of ``predict``, and no PyTorch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab import registry
from skeleton_lab.data.feeders.base import Batch, Feeder
from skeleton_lab.data.feeders.padded import ReadClip
from skeleton_lab.errors import LabError, UsageError, one_line
from skeleton_lab.inference import calibrated, onnx_about
from skeleton_lab.inference.feeding import Fed, without_unknown
from skeleton_lab.inference.onnx_about import About
from skeleton_lab.skeletons import layouts
from skeleton_lab.utils import cpus
from skeleton_lab.utils.importing import check_arguments, import_class, optional
from skeleton_lab.utils.progress import clip_bar

BATCH = 16  # clips at once: more are hardly faster on a CPU, and whole clips of 300 frames need memory
SEVERAL = 6  # axes of the input where a sample is several clips


class OnnxNetwork(Fed):
    """What ``Network`` is to weights, to a file of ``skeleton-lab export``; ``opened`` makes one, its room is open.

    Attributes:
        path: the file; about: what it says about itself; session: onnxruntime's. The others are ``Fed``'s.
    """

    def __init__(self, path: Path, session: Any, about: About) -> None:
        self.path, self.session, self.about = path, session, about
        self.name, self.K, self.joints, self.channels = about.model, about.num_class, about.joints, about.channels
        self.skeleton = None if about.skeleton is None else layouts.layout(about.skeleton)
        self.generated, self.bones = about.generated, about.bones
        self.calibration = _calibration(path, about)
        self.arguments = {**about.feeder_args, "debug": False}
        self.feeder_class = import_class(about.feeder, "feeder")
        if not issubclass(self.feeder_class, Feeder):
            raise UsageError(f"--onnx {path}: {about.feeder} is no feeder of this lab; predict needs one")

    @property
    def scored(self) -> bool:
        return self.about.scored

    @property
    def persons(self) -> int:
        return self.about.persons

    @property
    def padded(self) -> int:
        return self.about.padded

    @property
    def usual_length(self) -> int | None:
        return self.about.usual_length

    @property
    def class_names(self) -> Sequence[str] | None:
        return self.about.classes

    def _feeder(self, given: dict[str, Any]) -> Feeder:
        arguments = self.arguments | without_unknown(self.feeder_class, given)
        check_arguments(arguments, f"--onnx {self.path}: feeder {self.about.feeder}")
        try:
            feeder = self.feeder_class(**arguments)  # type: ignore[call-arg]
        except LabError:
            raise
        except TypeError as error:
            raise UsageError(f"--onnx {self.path}: feeder {self.about.feeder}: {error}") from error
        feeder.take_people(self.persons)
        return feeder

    def logits(self, feeder: Feeder, title: str = "predicting") -> np.ndarray:
        """(N, K) float32 of every clip of a feeder, in order.

        Raises:
            UsageError: its clips have another shape than the file takes.
        """
        made = []
        with clip_bar(len(feeder), title, delay=1) as bar:
            for first in range(0, len(feeder), BATCH):
                batch = Batch(range(first, min(first + BATCH, len(feeder))))
                answers = self.run(self.inputs(feeder, batch))
                several = len(answers) // len(batch)
                if several > 1:
                    answers = average(answers.reshape(len(batch), several, -1), feeder.average_clips)
                made.append(answers)
                bar.update(len(batch))
        return np.concatenate(made)

    def inputs(self, feeder: Feeder, batch: Batch) -> list[np.ndarray]:
        """What the network is called with, clips first; of a sample that is several clips one after the other."""
        if self.about.preprocessing:
            return [self.keypoints(feeder, batch)]
        made = [np.ascontiguousarray(x.numpy()) for x in feeder.inputs(feeder.work(batch))]
        return [x.reshape(-1, *x.shape[2:]) for x in made] if made[0].ndim == SEVERAL else made

    def keypoints(self, feeder: Feeder, batch: Batch) -> np.ndarray:
        """(N, T, M, V, C) as they are stored, for a file that does the feeder's part itself, but for filling in joints
        that are missing; behind a shorter clip, and where the file takes more frames or persons, zeros."""
        rows = np.asarray(batch, np.int64)
        takes = self.session.get_inputs()[0].shape[1]
        longest = int(feeder.clips.lengths(rows)[1].max())
        kept = max([self.padded, *(step.window for step in feeder.steps if isinstance(step, ReadClip))])
        if longest > kept and any(isinstance(step, ReadClip) for step in feeder.steps):
            raise UsageError(
                f"--onnx {self.path} takes clips of up to {kept} frames, and one has {longest}: cut recordings with "
                "--window, or export the network without --with-preprocessing"
            )
        length = max(longest, takes if isinstance(takes, int) else 1)
        x = feeder.filled.gather(rows, np.broadcast_to(np.arange(length), (len(rows), length)))[:, :, : self.persons]
        missing = self.persons - x.shape[2]
        return np.pad(x, ((0, 0), (0, 0), (0, missing), (0, 0), (0, 0)))

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (N, K) float32 of the network's inputs, in the order of the file.

        Raises:
            UsageError: they have another shape than the file takes.
        """
        takes = self.session.get_inputs()
        if len(takes) != len(inputs):
            raise UsageError(f"--onnx {self.path} has {len(takes)} inputs, and its feeder makes {len(inputs)}")
        for told, x in zip(takes, inputs):
            fixed = [size for size in told.shape if isinstance(size, int)]
            wrong = len(told.shape) != x.ndim or any(
                isinstance(size, int) and size != given for size, given in zip(told.shape, x.shape)
            )
            if wrong:
                raise UsageError(
                    f"--onnx {self.path} takes {told.name} of the shape {_shape(told.shape)}, and these clips are "
                    f"{_shape(x.shape)}: sizes {_shape(fixed)} are fixed; cut recordings to its frames with --window, "
                    "or export the network for other frames (--frames)"
                )
        try:
            made = self.session.run([onnx_about.LOGITS], {told.name: x for told, x in zip(takes, inputs)})[0]
        except Exception as error:  # onnxruntime's own classes have no other common parent
            raise UsageError(f"--onnx {self.path}: onnxruntime stopped: {one_line(error)}") from error
        return np.asarray(made, np.float32)


def _calibration(path: Path, about: About) -> calibrated.Calibration | None:
    """What the file says about its probabilities; UsageError where that is damaged."""
    if about.calibration is None:
        return None
    try:
        found = calibrated.stated(path, about.calibration)
        if max(found.classes or [0]) >= about.num_class:
            raise ValueError(f"class {max(found.classes or [])} of {about.num_class}")
    except ValueError as error:
        told = one_line(error)[:80]
        raise UsageError(f"--onnx {path}: damaged calibration ({told}); export the network anew") from None
    return found


def average(logits: np.ndarray, mode: str) -> np.ndarray:
    """(N, K) of logits (N, clips, K) of several clips of a sample, as ``engine.evaluate.average``."""
    if mode == "score":
        return logits.mean(1)
    log_p = logits - _log_sum_exp(logits, 2)[..., None]
    return _log_sum_exp(log_p, 1) - np.log(np.float32(logits.shape[1]))


def _log_sum_exp(x: np.ndarray, axis: int) -> np.ndarray:
    most = x.max(axis, keepdims=True)
    return (most + np.log(np.exp(x - most).sum(axis, keepdims=True))).squeeze(axis)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[OnnxNetwork]:
    """The network of a file, while its room is open.

    Raises:
        UsageError: onnxruntime is not installed; the file is missing, damaged, or no export of the lab; its room is not
            here.
    """
    session, about = read(path)
    with registry.room(about.room):
        yield OnnxNetwork(path, session, about)


def read(path: Path) -> tuple[Any, About]:
    """The file in onnxruntime, on as many processors as this process may use, and what it says about itself.

    Raises:
        UsageError: as ``opened``, but for its room.
    """
    runtime = optional("onnxruntime", "onnxruntime", "export", "--onnx")
    if not path.is_file():
        raise UsageError(f"--onnx {path}: there is no such file")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no other common parent
        raise UsageError(f"--onnx {path} cannot be read: {one_line(error)}") from error
    return session, onnx_about.loaded(session.get_modelmeta().custom_metadata_map, f"--onnx {path}")


def threads() -> int:
    """What OMP_NUM_THREADS says, else the processors of this process; onnxruntime by itself takes the machine's."""
    own = os.environ.get(cpus.THREADS, "")
    return int(own) if own.isdigit() and int(own) else cpus.available().count


def _shape(sizes: Sequence[Any]) -> str:
    return f"({', '.join(map(str, sizes))})"
