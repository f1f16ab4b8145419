"""Steps of PYSKL's pipelines that bring a clip into its frame of reference, 3-D and 2-D, and unpack stored key points.

A step changes an item: a dictionary with ``keypoint`` (M, T, V, C), for images ``keypoint_score`` (M, T, V) and
``img_shape`` (height, width), and ``total_frames``. Persons come first, as in PYSKL's files. Names and arguments are
those of PYSKL's configurations (Duan et al. 2022, "PYSKL: Towards Good Practices for Skeleton Action Recognition").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_lab.data.archives.prenormalize import rotation_onto
from skeleton_lab.data.archives.readers.pyskl_annotations import MOST_PEOPLE, persons_by_frames
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.layouts import Point

Item = dict[str, Any]
SOURCE = "source_frames"  # (T,) int64 of items that tell it: the frame of the clip that each of theirs is, -1 for none
EMPTY = 1e-8  # a frame whose values all lie within this of 0 shows nobody
KINECT = 25  # joints; joint 1 of it, the middle of the spine, is the centre
SMALLEST = 10  # pixels that a clip of 2-D points must extend over in both directions to be stretched (mode auto)


def keep_frames(item: Item, chosen: np.ndarray) -> None:
    """Note that the item's frames are now these of what they were: places, or a mask; -1 for an empty frame."""
    if SOURCE in item:
        kept = item[SOURCE][chosen]
        item[SOURCE] = kept if chosen.dtype == bool else np.where(chosen < 0, -1, kept)


def real(x: np.ndarray) -> np.ndarray:
    """At least float32: half precision is widened before anything is computed."""
    return x.astype(np.float32) if x.dtype.itemsize < 4 or x.dtype.kind != "f" else x


class PreNormalize3D:
    """A clip without the frames in which the main person is missing, centred on that person and turned upright.

    The main person is the one with more frames; the other one's frames go with it. The centre is a joint of its first
    frame. Then the spine of that frame turns to z, and after it the shoulders to x, about e x (1, 0, 0): the spine
    leaves z again, as published. Points at exactly (0, 0, 0) are missing ones and stay there.

    Args:
        zaxis: two joints, from the base of the spine upward; xaxis: from the right shoulder to the left one, as two
            joints; of other skeletons means of joints (``layouts.Point``) may stand for a joint.
        align_spine: whether to turn; align_center: whether to centre. Without the latter published code breaks.
        centre: the joint; by default 1 of 25 joints, else the last, as published.
    """

    def __init__(
        self,
        zaxis: Sequence[int | Point] = (0, 1),
        xaxis: Sequence[int | Point] = (8, 4),
        align_spine: bool = True,
        align_center: bool = True,
        centre: int | Point | None = None,
    ) -> None:
        self.zaxis, self.xaxis = [_point(p) for p in zaxis], [_point(p) for p in xaxis]
        self.align_spine, self.align_center = align_spine, align_center
        self.centre = None if centre is None else _point(centre)

    def __call__(self, item: Item, chance: Any = None) -> None:
        x = real(item["keypoint"])
        item["total_frames"] = x.shape[1]
        if x.sum() == 0:
            item["keypoint"] = x
            return
        if x.shape[0] > 2 or x.shape[-1] != 3:
            raise UsageError(f"PreNormalize3D takes one or two people of 3 coordinates, not {x.shape[0]}x{x.shape[-1]}")
        there = (np.abs(x) > EMPTY).any(axis=(2, 3))  # (M, T)
        if len(x) == 2 and there[1].sum() > there[0].sum():
            x, there = x[::-1], there[::-1]
        x = x[:, there[0]]
        keep_frames(item, there[0])
        if self.align_center:
            centre = self.centre or [1 if x.shape[2] == KINECT else x.shape[2] - 1]
            item["body_center"] = x[0, 0, centre].mean(0)
            x = (x - item["body_center"]) * (x != 0).any(-1, keepdims=True)
        if self.align_spine:
            upright = self._upright(x[0, 0])
            x = (x.reshape(-1, 3).astype(np.float64) @ upright.T).reshape(x.shape)
        item["keypoint"], item["total_frames"] = x, x.shape[1]

    def _upright(self, pose: np.ndarray) -> np.ndarray:
        """(3, 3) float64: turns the spine of a pose (V, 3) to z, and the shoulders, as they lie then, to x."""
        base, top = (pose[end].mean(0) for end in self.zaxis)
        spine = rotation_onto(top - base, 2)
        turned = pose if spine is None else pose.astype(np.float64) @ spine.T
        right, left = (turned[end].mean(0) for end in self.xaxis)
        shoulders = rotation_onto(right - left, 0)
        return (np.eye(3) if shoulders is None else shoulders) @ (np.eye(3) if spine is None else spine)


def _point(point: int | Point) -> list[int]:
    return [int(point)] if isinstance(point, (int, np.integer)) else [int(joint) for joint in point]


class PreNormalize2D:
    """Pixels to -1..1, and the score, where there is one, as third channel.

    Args:
        img_shape: (height, width) of items that do not tell theirs.
        threshold: points with a lower score lie at (0, 0); the score stays.
        mode: ``fix``: the picture is stretched to -1..1; ``auto``: the points of the clip are, if they extend over more
            than 10 pixels in both directions.
    """

    def __init__(self, img_shape: Sequence[int] = (1080, 1920), threshold: float = 0.01, mode: str = "fix") -> None:
        if mode not in ("fix", "auto"):
            raise UsageError(f"PreNormalize2D: mode is 'fix' or 'auto', not {mode!r}")
        self.img_shape, self.threshold, self.mode = tuple(img_shape), threshold, mode

    def __call__(self, item: Item, chance: Any = None) -> None:
        join_score(item)
        x = item["keypoint"] = item["keypoint"].astype(np.float32)
        seen = x[..., 2] > self.threshold if x.shape[-1] > 2 else np.ones(x.shape[:-1], bool)
        if self.mode == "fix":
            height, width = item.get("img_shape") or self.img_shape
            half = np.array([width / 2, height / 2], np.float32)
            x[..., :2] = (x[..., :2] - half) / half
        elif seen.any():
            low, high = x[seen][:, :2].min(0), x[seen][:, :2].max(0)
            if (high - low > SMALLEST).all():
                x[..., :2] = (x[..., :2] - (high + low) / 2) / (high - low) * 2
        x[..., :2][~seen] = 0


def join_score(item: Item) -> None:
    """The score of every point, where there is one, as channel behind its coordinates: ``scored`` of the item."""
    score = item.pop("keypoint_score", None)
    if score is not None:
        item["keypoint"] = np.concatenate([real(item["keypoint"]), real(score)[..., None]], -1, dtype=np.float32)
        item["scored"] = True


class Kinetics_Transform:
    """COCO's 17 joints and three means of them: 17 between the hips, 19 between the shoulders, 18 between these two.

    ProtoGCN's layout ``coco_new``; a score is averaged likewise.
    """

    def __call__(self, item: Item, chance: Any = None) -> None:
        join_score(item)
        x = item["keypoint"].astype(np.float32)
        if x.shape[2] != 17:
            raise UsageError(f"Kinetics_Transform takes the 17 joints of COCO, not {x.shape[2]}")
        hips, shoulders = (x[:, :, 11] + x[:, :, 12]) / 2, (x[:, :, 5] + x[:, :, 6]) / 2
        more = np.stack([hips, (hips + shoulders) / 2, shoulders], axis=2)
        item["keypoint"] = np.concatenate([x, more], axis=2)


class DecompressPose:
    """The skeletons of a clip, stored one after the other, as persons by frames (Kinetics-400's files).

    ``keypoint`` (S, V, 3) with the ascending ``frame_inds`` (S,) becomes ``keypoint`` (P, T, V, 2) and
    ``keypoint_score`` (P, T, V) in half precision. Skeletons of a frame fill the persons in order; P is the most that a
    frame has.

    Args:
        squeeze: only the frames that have a skeleton.
        max_person: of more in some frame these many with the best sums of scores are kept, in every frame.
    """

    def __init__(self, squeeze: bool = True, max_person: int = MOST_PEOPLE) -> None:
        self.squeeze, self.max_person = squeeze, max_person

    def __call__(self, item: Item, chance: Any = None) -> None:
        if "frame_inds" not in item:
            return
        points, frames = item["keypoint"], np.asarray(item.pop("frame_inds"))
        chosen = item.pop("anno_inds", None)
        if chosen is not None:
            points, frames = points[chosen], frames[chosen]
        if self.squeeze:
            kept, frames = np.unique(frames, return_inverse=True)
            item["total_frames"] = len(kept)
        x = persons_by_frames(points, frames.reshape(-1), item["total_frames"], self.max_person)
        item["keypoint"], item["keypoint_score"] = x[..., :2].astype(np.float16), x[..., 2].astype(np.float16)
