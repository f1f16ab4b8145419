"""Key points of videos and cameras: people found by a detector, their joints by RTMPose, both through rtmlib.

Jiang et al., "RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose", 2023.  Frames become lines as
``reading.Reader`` takes them; who is who, is followed there.

rtmlib's models are called one by one: its tracker gives numbers of people anew after a picture with nobody, and where
nobody is found, its pose model takes the whole picture for a person.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError, one_line
from skeleton_lab.inference.keypoints.tracking import CROWD
from skeleton_lab.live.figures import Delays
from skeleton_lab.utils.importing import optional

SURE = 0.3  # mean score of a person who is still where the last picture had them
WIDER = 1.25  # than the joints: the box in which they are looked for
BLANK = np.zeros((64, 64, 3), np.uint8)
UNREADABLE = 30  # pictures in a row that a camera does not give; then it is gone


class Poses:
    """Finds the people of pictures.

    Args:
        pose: ONNX file of RTMPose, of any skeleton. detector: of YOLOX, or of RTMDet where its name says so; None: one
            person fills the picture.
        every: pictures from one search for people to the next; between, each is looked for where they were. While there
            is nobody, every picture is searched.

    Attributes:
        seconds: that each picture took.

    Raises:
        UsageError: rtmlib is not installed; a file is missing, or is no such model.
    """

    def __init__(self, pose: Path, detector: Path | None = None, every: int = 10) -> None:
        _needed("onnxruntime")
        rtmlib = _needed("rtmlib")
        self._pose = _model(rtmlib.RTMPose, pose, "--pose-model")
        width, height = _picture_size(self._pose, pose, "--pose-model")[::-1]
        self._pose.model_input_size = width, height
        outputs = self._pose.session.get_outputs()
        if len(outputs) != 2 or any(len(each.shape) != 3 for each in outputs):
            told = ", ".join(each.name for each in outputs)
            raise UsageError(f"--pose-model {pose} gives {told}; RTMPose gives simcc_x and simcc_y")
        self._detector = None
        if detector is not None:
            kind = rtmlib.RTMDet if "rtmdet" in detector.name.lower() else rtmlib.YOLOX
            self._detector = _model(kind, detector, "--det-model")
            self._detector.model_input_size = _picture_size(self._detector, detector, "--det-model")
            if kind is rtmlib.YOLOX and _of_many_classes(self._detector):
                self._detector.det_mode = "multiclass"  # else chairs are people, too
            _tried("--det-model", detector, lambda: self._searched(BLANK))
        whole = [np.array([0, 0, *BLANK.shape[1::-1]], float)]
        _tried("--pose-model", pose, lambda: self._pose(BLANK, bboxes=whole))
        self._every, self._count = every, 0
        self._boxes: list[np.ndarray] = []
        self.seconds = Delays()

    def __call__(self, picture: np.ndarray) -> list[np.ndarray]:
        """(V, 3) of each person of a picture (height, width, 3), BGR: x and y in pixels, and the score."""
        begun = time.monotonic()
        followed = bool(self._boxes) and self._count % self._every > 0
        boxes = self._boxes if followed else self._searched(picture)
        people: list[np.ndarray] = []
        if boxes:
            points, scores = self._pose(picture, bboxes=boxes)
            people = list(np.concatenate([points, scores[..., None]], -1).astype(np.float64))
        sure = [person for person in people if person[:, 2].mean() >= SURE]
        self._boxes = [] if self._detector is None else [_box(person) for person in sure]
        self._count += 1
        self.seconds.add(time.monotonic() - begun)
        return sure if followed else people

    def _searched(self, picture: np.ndarray) -> list[np.ndarray]:
        """Boxes (x, y, x, y) with somebody in them."""
        if self._detector is None:
            return [np.array([0, 0, *picture.shape[1::-1]], float)]
        found = self._detector(picture)
        if isinstance(found, tuple):  # with the class of each; people are the first one
            found = [box for box, kind in zip(*found) if kind == 0]
        return list(np.asarray(found, float).reshape(-1, 4)[:CROWD])


def _box(person: np.ndarray) -> np.ndarray:
    low, high = person[:, :2].min(0), person[:, :2].max(0)
    middle, half = (low + high) / 2, np.maximum(WIDER * (high - low) / 2, 1)  # joints may lie on each other
    return np.concatenate([middle - half, middle + half])


def _needed(module: str) -> Any:
    return optional(module, module, "video", "finding people in pictures")


def _model(kind: Any, path: Path, flag: str) -> Any:
    """A model of rtmlib. It would try to download what is no file, and it speaks on stdout, where labels go."""
    if not path.is_file():
        raise UsageError(f"{flag} {path}: there is no such file (docs/live.md says where models are)")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return kind(str(path), backend="onnxruntime", device="cpu")
    except Exception as error:  # onnxruntime's own kinds
        raise UsageError(f"{flag} {path} is no ONNX file that onnxruntime reads: {one_line(error)[:200]}") from error


def _tried(flag: str, path: Path, look: Callable[[], Any]) -> None:
    """A first look at a picture, which is slower than all later ones; UsageError for a model of something else."""
    try:
        look()
    except Exception as error:  # rtmlib checks nothing
        raise UsageError(f"{flag} {path} is no such model: {one_line(error)[:200]}") from error


def _of_many_classes(detector: Any) -> bool:
    """Whether it gives each box (x, y, width, height, whether anything is there) and more than one class."""
    last = detector.session.get_outputs()[0].shape[-1]
    return isinstance(last, int) and last > 6


def _picture_size(model: Any, path: Path, flag: str) -> tuple[int, int]:
    """Height and width that it takes; what rtmlib presumes where the file leaves them open."""
    inputs = model.session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or (shape[1] not in (3, None) and not isinstance(shape[1], str)):
        raise UsageError(f"{flag} {path} takes {inputs[0].name} {shape}, and pictures are (1, 3, height, width)")
    presumed = model.model_input_size
    usual = presumed if flag == "--det-model" else presumed[::-1]
    height, width = (size if isinstance(size, int) else known for size, known in zip(shape[2:], usual))
    return height, width


def of_file(path: Path, poses: Poses) -> Iterator[bytes | None]:
    """Lines of a video's frames, with the times that it says, which need not be evenly spread.

    Raises:
        UsageError: it is missing, or no video.
    """
    if not path.is_file():
        raise UsageError(
            f"--video {path}: there is no such file" if not path.exists() else f"--video {path} is no file"
        )
    video = _opened(str(path), f"--video {path} is no video that OpenCV reads")
    return _of_file(video, poses)


def _of_file(video: Any, poses: Poses) -> Iterator[bytes | None]:
    import cv2

    number = 0
    try:
        while True:
            there, picture = video.read()
            if not there:
                return
            yield _line(number, video.get(cv2.CAP_PROP_POS_MSEC) / 1e3, poses(picture))
            number += 1
    finally:
        video.release()


def of_camera(which: int, poses: Poses) -> Iterator[bytes | None]:
    """Lines of a camera's frames, as many as the models can look at, for ever; times are this machine's, from 0 on.

    Raises:
        UsageError: there is no such camera; later: it gives no pictures any more.
    """
    import cv2

    camera = _opened(which, f"--camera {which}: there is no such camera, or it is in use")
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what waits longer is of the past
    return _of_camera(camera, which, poses)


def _of_camera(camera: Any, which: int, poses: Poses) -> Iterator[bytes | None]:
    begun, number, failed = None, 0, 0
    try:
        while failed < UNREADABLE:
            there, picture = camera.read()
            if not there:
                failed += 1
                time.sleep(1 / 30)
                yield None
                continue
            now, failed = time.monotonic(), 0
            begun = now if begun is None else begun
            yield _line(number, now - begun, poses(picture))
            number += 1
        raise UsageError(f"--camera {which} gives no pictures{' any more' if number else ''}")
    finally:
        camera.release()


def _opened(source: str | int, trouble: str) -> Any:
    import cv2

    silent = getattr(cv2, "setLogLevel", None)  # its complaints are not for users; older versions have none
    if silent is not None:
        silent(0)
    opened = cv2.VideoCapture(source)
    if not opened.isOpened():
        raise UsageError(trouble)
    return opened


def _line(number: int, seconds: float, people: Sequence[np.ndarray]) -> bytes:
    told = [
        {"keypoints": person[:, :2].round(3).tolist(), "keypoint_scores": person[:, 2].round(6).tolist()}
        for person in people
    ]
    return json.dumps({"frame": number, "time": round(seconds, 6), "people": told}).encode()
