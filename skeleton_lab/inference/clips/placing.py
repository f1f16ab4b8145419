"""Clips as an archive holds them: one number of channels and people, in the units that are told.

Key points of an image stay what they are, in pixels, with their scores: feeders place them
(``data.feeders.image_points``), rooms of PYSKL's family by the image's size. Points in space are made like the
published archives: joints that were not found are filled in, y points up, and the ``origin`` of the first person is the
origin in its first frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.errors import ArchiveError, UsageError, listing
from skeleton_lab.inference.clips.cutting import Clip
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.inference.keypoints.checking import SHARES
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.skeletons import missing
from skeleton_lab.skeletons.layouts import Layout

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
TORSO = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
TRUNK = (0.2, 1.0)  # metres that the length ``scale`` of a person may have


@dataclass(frozen=True)
class Wish:
    """up: of ``normalise.UP``; score: of a joint in space that was found; units; image: height and width."""

    up: str | None = None
    score: float = 0.3
    units: str | None = None
    image: tuple[int, int] | None = None


@dataclass(frozen=True)
class Placed:
    """What is written: ``x`` of each clip (C, T, V, M) float32, and what its numbers are.

    Attributes:
        rows: the clips of ``x``, in order. skipped: the others, and why.
        units: of ``layouts.UNITS``. scored: the last channel is a score.
        images: (N, 2) height and width, None where they are not known of all clips.
    """

    rows: list[Clip]
    x: list[np.ndarray]
    skipped: list[tuple[Clip, str]]
    units: str
    scored: bool
    images: np.ndarray | None


def placed(clips: Sequence[Clip], skeleton: Layout, wish: Wish, notices: Notices) -> Placed:
    """The clips as an archive holds them.

    Raises:
        UsageError: images and space, or pixels and shares of images, are mixed; a wish that cannot be.
        ArchiveError: no clip can be placed.
    """
    if wish.image is not None:
        clips = [clip._replace(image=clip.image or wish.image) for clip in clips]
    clips = [_without_depth(clip, skeleton) for clip in clips]
    by_axes: dict[int, Clip] = {}
    for clip in clips:
        by_axes.setdefault(clip.points.shape[-1], clip)
    if len(by_axes) > 1:
        flat, deep = by_axes[2].row.shown, by_axes[3].row.shown
        raise UsageError(f"mixed key points: {flat} has x and y, {deep} x, y and z; keep one kind in the labels")
    notices.forget("shares")
    for clip in clips:
        _look_upright(clip, skeleton, wish, notices)
    if 2 in by_axes:
        return _of_image(clips, skeleton, wish, notices)
    return _of_space(clips, skeleton, wish, notices)


def _look_upright(clip: Clip, skeleton: Layout, wish: Wish, notices: Notices) -> None:
    if set(TORSO) <= set(skeleton.joints):
        up = wish.up or ("y" if skeleton.y_up and clip.points.shape[-1] == 3 else "-y")
        there: np.ndarray = np.all(clip.found[..., [skeleton.at(joint) for joint in TORSO]], axis=-1)
        if there.any() and up[-1] in "xyz"[: clip.points.shape[-1]]:
            normalise.look_upright(clip.points, there, skeleton, up, clip.row.shown, notices)


def _without_depth(clip: Clip, skeleton: Layout) -> Clip:
    """MediaPipe's landmarks of an image without their z, which is a guess; those of the world have negative x."""
    if skeleton.name not in ("mediapipe33", "hand21") or clip.points.shape[-1] == 2 or not _are_shares([clip]):
        return clip
    return clip._replace(points=clip.points[..., :2])


def _are_shares(clips: Sequence[Clip]) -> bool:
    known = np.concatenate([clip.points[..., :2][clip.found] for clip in clips])
    return bool(((known >= 0) & (known <= 1)).all(1).mean() >= SHARES)


# --- in an image -------------------------------------------------------------------------------------------------


def _of_image(clips: Sequence[Clip], skeleton: Layout, wish: Wish, notices: Notices) -> Placed:
    if wish.up not in (None, "y", "-y"):
        raise UsageError(f"--up {wish.up}: key points of an image have y or -y up")
    units = wish.units or _units_of_image(clips)
    if units == "image" and all(clip.image for clip in clips):
        clips = [clip._replace(points=clip.points * _across(clip)) for clip in clips]
        units = "px"
    if units == "image":
        notices.add("shares", "", "x and y are shares of the image's width and height, in which a body is squeezed: "
                    "give --image-size WIDTHxHEIGHT and they become pixels")  # fmt: skip
    if wish.up == "y":
        clips = [_upside_down(clip) for clip in clips]
    scored = any(clip.scores is not None for clip in clips)
    unscored = [clip.row.shown for clip in clips if clip.scores is None]
    if scored and unscored:
        line = f"{len(unscored)} clips have no scores ({listing(unscored[:2])} ...): joints that were found get 1"
        notices.add("unscored", "", line)
    made = []
    for clip in clips:
        x = np.where(clip.found[..., None], clip.points, 0)
        if scored:
            sure = clip.found.astype(np.float32) if clip.scores is None else np.where(clip.found, clip.scores, 0)
            x = np.concatenate([x, sure[..., None]], -1)
        made.append(_stored(x))
    images = np.array([clip.image for clip in clips], np.int64) if all(clip.image for clip in clips) else None
    if images is None:
        some = " of some clips" if any(clip.image for clip in clips) else ""
        notices.add("size", "", f"the size of the image{some} is not known; networks that place people in it (PYSKL's) "
                    "need it: --image-size WIDTHxHEIGHT")  # fmt: skip
    return Placed(list(clips), made, [], units, scored, images)


def _across(clip: Clip) -> np.ndarray:
    """Width and height of the image, which x and y are shares of."""
    assert clip.image is not None
    return np.array(clip.image[::-1], np.float32)


def _units_of_image(clips: Sequence[Clip]) -> str:
    shares = [_are_shares([clip]) for clip in clips]
    if any(shares) and not all(shares):
        one, other = clips[shares.index(True)].row.shown, clips[shares.index(False)].row.shown
        raise UsageError(f"mixed units: {one} has shares of the image, {other} pixels; keep one kind in the labels")
    return "image" if shares[0] else "px"


def _upside_down(clip: Clip) -> Clip:
    points = clip.points.copy()
    height = 0 if clip.image is None else clip.image[0]
    points[..., 1] = np.where(clip.found, height - points[..., 1], 0)
    return clip._replace(points=points)


# --- in space ----------------------------------------------------------------------------------------------------


def _of_space(clips: Sequence[Clip], skeleton: Layout, wish: Wish, notices: Notices) -> Placed:
    units = wish.units or (skeleton.units if skeleton.units in METRES else "m")
    if units not in METRES:
        raise UsageError(f"--units {units}: the key points have x, y and z, in {', '.join(METRES)}")
    made, kept, skipped = [], [], []
    for clip in clips:
        try:
            x = _upright(clip, skeleton, wish, notices)
        except ArchiveError as error:
            skipped.append((clip, str(error)))
        else:
            made.append(_stored(x))
            kept.append(clip)
    if not made:
        raise ArchiveError(skipped[0][1])
    _look_at_size(made, skeleton, units, notices)
    return Placed(kept, made, skipped, units, False, None)


def _upright(clip: Clip, skeleton: Layout, wish: Wish, notices: Notices) -> np.ndarray:
    """(T, M, V, 3) as the published archives have it.

    Raises ``ArchiveError``: of nobody enough is found.
    """
    found = clip.found if clip.scores is None else clip.found & (clip.scores >= wish.score)
    there: np.ndarray = np.any(found, axis=2)
    known = [m for m in range(there.shape[1]) if there[:, m].any()]
    filled = [missing.filled(clip.points[:, m], found[:, m], skeleton.bones) for m in known]
    bodies = [(m, points) for m, points in zip(known, filled) if points is not None]
    if not bodies:
        raise ArchiveError(f"{clip.row.shown}: no score reaches --score {wish.score:g}")
    points = np.stack([points for _, points in bodies], 1)
    there = np.stack([
        normalise.bridged(there[:, m], f"{clip.row.shown}: person {m + 1}", notices) for m, _ in bodies
    ], 1)  # fmt: skip
    points = normalise.turned(points, wish.up or ("y" if skeleton.y_up else "-y"))
    first = int(there.any(1).argmax())
    body = points[first, there[first].argmax()]
    points = points - body[list(skeleton.origin)].mean(0)
    return np.where(there[..., None, None], points, 0)


def _look_at_size(x: Sequence[np.ndarray], skeleton: Layout, units: str, notices: Notices) -> None:
    """Say where people would be giants or dwarfs in these units."""
    low, high = skeleton.scale
    lengths = []
    for clip in x:
        points = clip.transpose(1, 3, 2, 0)  # (T, M, V, 3)
        gap = points[:, :, list(high)].mean(2) - points[:, :, list(low)].mean(2)
        lengths.append(np.linalg.norm(gap[points.any((2, 3))], axis=-1))
    length = float(np.median(np.concatenate(lengths)))
    metres = length * METRES[units]
    if len(skeleton.limbs) == 4 and not TRUNK[0] <= metres <= TRUNK[1]:
        notices.add("size", "", f"a trunk would be {metres:.3g} m long ({length:.3g} {units}): are these the units? "
                    "(--units)")  # fmt: skip


def _stored(x: np.ndarray) -> np.ndarray:
    """(T, M, V, C) to (C, T, V, M) float32."""
    return np.ascontiguousarray(x.transpose(3, 0, 2, 1), np.float32)
