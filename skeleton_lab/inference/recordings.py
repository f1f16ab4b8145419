"""Recordings that are no archive: raw ``.skeleton`` files, and single annotations of PYSKL."""

from __future__ import annotations

import io
import pickletools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.data.archives import ntu_protocol
from skeleton_lab.data.archives.clip_groups import NTU_NAME
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.data.preprocessing.actors import scene
from skeleton_lab.data.preprocessing.denoise import denoise
from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.data.preprocessing.skeleton_text import JOINTS, read
from skeleton_lab.errors import ArchiveError
from skeleton_lab.inference.keypoints import reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.reading import Choose, Keypoints
from skeleton_lab.skeletons.schemes import SCHEMES, Scheme

HEAD = 1 << 16  # bytes in which a pickle shows what it holds
SOMEBODY = "S001C001P001R001A001"  # denoising asks a name for its log alone
DATASET = {"split", "annotations"}


class Found(NamedTuple):
    """Recordings in the order of their joints, and the class of each, None where it is not known."""

    keypoints: list[Keypoints]
    scheme: Scheme
    labels: list[int | None]


def raw(sources: Sequence[Source], notices: Notices) -> Found:
    """Raw recordings with the actors that the published denoising (CTR-GCN's) finds in them.

    Damaged ones, and those without anybody, are left out and named on stderr.

    Raises:
        ArchiveError: none is left; the message is that of the first.
    """
    scheme = SCHEMES["ntu25"]
    kept = _kept(sources, lambda source: _recording(source, scheme, notices))
    return Found([each for _, each in kept], scheme, [_class(source.name) for source, _ in kept])


def _kept(items: Sequence[Any], made: Callable[[Any], Keypoints]) -> list[tuple[Any, Keypoints]]:
    """The items that can be read, with what was read of them."""
    kept: list[tuple[Any, Keypoints]] = []
    errors: list[ArchiveError] = []
    for item in items:
        try:
            kept.append((item, made(item)))
        except ArchiveError as error:
            errors.append(error)
    if not kept:
        raise errors[0]
    for each in errors:
        print(f"left out: {each}", file=sys.stderr)
    return kept


def _recording(source: Source, scheme: Scheme, notices: Notices) -> Keypoints:
    recording = read(source)
    try:
        name = source.name if NTU_NAME.fullmatch(source.name) else SOMEBODY
        joints = denoise(name, scene(recording)).joints
    except ArchiveError as error:
        raise ArchiveError(f"{source.shown}: {error}") from error
    if len(joints) < recording.frames:
        print(
            f"{source.shown}: {recording.frames - len(joints)} of {recording.frames} frames hold nobody and are left "
            "out, as in the published archives; times count the others", file=sys.stderr,
        )  # fmt: skip
    clip = joints.reshape(len(joints), -1, JOINTS, 3).astype(np.float64)
    return reading.checked(clip, None, scheme, source.name, Path(source.path), notices=notices)


def _class(name: str) -> int | None:
    match = NTU_NAME.fullmatch(name)
    return ntu_protocol.sample(match[0]).label if match else None


def annotation_list(path: Path) -> list[dict[str, Any]] | None:
    """The annotations of a pickle that holds one, or a list of them; None where it is something else.

    Raises:
        ArchiveError: it is damaged, or names what is not read.
    """
    if not path.is_file():
        return None
    with parsing(path), open(path, "rb") as file:
        head = file.read(HEAD)
    if head[:1] not in (b"\x80", b"(", b"]", b"}") or _first_word(head) == "split":
        return None
    content = safe_pickle.load(path)
    if isinstance(content, dict) and "annotations" in content and "split" not in content:
        content = content["annotations"]
    content = [content] if isinstance(content, dict) else content
    if not isinstance(content, list) or not content or not all(isinstance(each, dict) for each in content):
        return None
    return content if "keypoint" in content[0] else None


def _first_word(head: bytes) -> str | None:
    """The first text in a pickle, of which nothing is run."""
    try:
        return next((arg for _, arg, _ in pickletools.genops(io.BytesIO(head)) if isinstance(arg, str)), None)
    except ValueError:
        return None


def annotated(path: Path, content: Sequence[dict[str, Any]], choose: Choose, score: float, notices: Notices) -> Found:
    """Annotations of PYSKL as recordings; those that cannot be read are left out and named on stderr.

    Args:
        choose: ``placing.scheme_of`` with the user's wish.

    Raises:
        ArchiveError: none is left. UsageError: nothing tells the order of their joints.
    """
    numbered = [(number, each, _name(path, number, each)) for number, each in enumerate(content)]
    schemes: list[Scheme] = []

    def made(item: tuple[int, dict[str, Any], str]) -> Keypoints:
        _, annotation, name = item
        points, scores = _clip(path, name, annotation)
        scheme = choose(points.shape[2], f"{path}: {name}")
        if schemes and schemes[0] is not scheme:
            raise ArchiveError(f"{path}: {name} has {scheme.V} joints, earlier clips {schemes[0].V}")
        schemes.append(scheme)
        return reading.checked(points, scores, scheme, name, path, score, notices)

    kept = _kept(numbered, made)
    labels = [_label(annotation) for (_, annotation, _), _ in kept]
    return Found([each for _, each in kept], schemes[0], labels)


def _name(path: Path, number: int, annotation: dict[str, Any]) -> str:
    told = annotation.get("frame_dir")
    return told if isinstance(told, str) and told else f"{path.name.partition('.')[0]}_{number}"


def _label(annotation: dict[str, Any]) -> int | None:
    told = annotation.get("label")
    return int(told) if isinstance(told, (int, np.integer)) and not isinstance(told, bool) and told >= 0 else None


def _clip(path: Path, name: str, annotation: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """Points (T, M, V, C) and, where there are any, scores (T, M, V), float64."""
    x, score = annotation.get("keypoint"), annotation.get("keypoint_score")
    if not isinstance(x, np.ndarray) or x.ndim != 4 or x.dtype.kind not in "iuf" or x.shape[3] not in (2, 3):
        shown = f"shape {x.shape}, {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise ArchiveError(f"{path}: {name}: 'keypoint' is {shown}; accepted is an array (M, T, V, C = 2 or 3)")
    if not x.size:
        raise ArchiveError(f"{path}: {name}: 'keypoint' of shape {x.shape} holds nobody")
    x = x.astype(np.float64)
    if score is not None:
        if not isinstance(score, np.ndarray) or score.shape != x.shape[:3] or score.dtype.kind not in "iuf":
            raise ArchiveError(f"{path}: {name}: 'keypoint_score' does not have the shape {x.shape[:3]} of 'keypoint'")
        score = score.astype(np.float64).transpose(1, 0, 2)
    return x.transpose(1, 0, 2, 3), score
