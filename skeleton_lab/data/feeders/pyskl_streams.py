"""The streams of PYSKL and ProtoGCN: joints, bones, K-bones (bones of two links) and their motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_lab.data.feeders.pyskl_normalise import Item, join_score
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout

STREAMS = ("j", "b", "k", "jm", "bm", "km")
NTU = "nturgb+d"
# As published, where that is not the tree of the layout: COCO's hips start from the nose, OpenPose's neck from it.
_PARENTS: dict[str, list[int]] = {
    "coco": [0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12, 13, 14],
    "openpose": [0, 0, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15],
    # COCO and OpenPose with means of hips, shoulders and trunk (ProtoGCN)
    "coco_new": [19, 0, 0, 1, 2, 19, 19, 5, 6, 7, 8, 17, 17, 11, 12, 13, 14, 18, 19, 19],
    "openpose_new": [1, 1, 1, 2, 3, 1, 5, 6, 18, 8, 9, 18, 11, 12, 0, 0, 14, 15, 19, 1],
}
_K_PARENTS: dict[str, list[int]] = {
    "openpose": [1, 1, *_PARENTS["openpose"][2:]]
}  # ProtoGCN roots OpenPose's bones in the neck
LAYOUTS = {NTU: "ntu25", "coco": "coco17", "openpose": "coco18", "handmp": "hand21"}
DATASETS = (NTU, "handmp", *_PARENTS)
# Which scores are averaged rather than subtracted, as published: along K-bones and in motion only of these two.
AVERAGED = ("coco", "openpose")


def layout_of(dataset: str | Layout) -> Layout:
    """The layout of a data set by PYSKL's name, by that of the registry, or of a file.

    Raises:
        UsageError: there is none.
    """
    return dataset if isinstance(dataset, Layout) else layouts.layout(LAYOUTS.get(dataset, dataset))


def parents(dataset: str | Layout) -> np.ndarray:
    """(V,) int64, the joint that each bone starts from: of PYSKL's data sets, else of a layout of the registry.

    Raises:
        UsageError: neither.
    """
    if isinstance(dataset, str) and dataset in _PARENTS:
        return np.array(_PARENTS[dataset])
    return layout_of(dataset).parent


def k_parents(dataset: str | Layout) -> np.ndarray:
    """(V,) int64, the joint two bones up; a joint whose bone ends at the root has none: itself."""
    listed = _K_PARENTS.get(dataset) if isinstance(dataset, str) else None
    above = parents(dataset) if listed is None else np.array(listed)
    joints = np.arange(len(above))
    at_root = (above == joints) | (above[above] == above)
    return np.where(at_root, joints, above[above])


class GenSkeFeat:
    """The streams asked for; scores join the coordinates first.

    A bone is a joint minus its parent; the score of a bone is the mean of its two. Motion is the difference to the
    next frame of the whole clip, 0 in the last frame.

    Args:
        dataset: whose bones: nturgb+d, coco, openpose, handmp, coco_new, openpose_new (as published, also in where
            scores are subtracted like coordinates), or a skeleton of the registry (name, file or layout).
        feats: of j, b, k, jm, bm, km, in this order; axis: along which several are put together.

    Raises:
        UsageError: an unknown stream or data set.
    """

    def __init__(self, dataset: str | Layout = NTU, feats: Sequence[str] = ("j",), axis: int = -1) -> None:
        for feat in feats:
            if feat not in STREAMS:
                raise UsageError(f"GenSkeFeat: stream '{feat}': choose from {', '.join(STREAMS)}")
        if not feats:
            raise UsageError("GenSkeFeat: feats names no stream")
        try:
            self.parents, self.k_parents = parents(dataset), k_parents(dataset)
        except UsageError:
            raise UsageError(
                f"GenSkeFeat: data set '{dataset}' is unknown.{nearest(str(dataset), [*DATASETS, *layouts.known()])} "
                f"Known are {', '.join(DATASETS)} and the skeletons that `skeleton-lab skeletons` lists"
            ) from None
        self.dataset, self.feats, self.axis = dataset, tuple(feats), axis

    def __call__(self, item: Item, chance: Any = None) -> None:
        if self.dataset != NTU:
            join_score(item)
        x = item["keypoint"].astype(np.float32)
        if x.shape[2] != len(self.parents):
            raise UsageError(f"the clips have {x.shape[2]} joints, and {self.dataset} has {len(self.parents)}")
        scored = self._scored(item, x.shape[-1])
        made = [self._stream(x, feat, scored) for feat in self.feats]
        item["keypoint"] = made[0] if len(made) == 1 else np.concatenate(made, self.axis)

    def _scored(self, item: Item, channels: int) -> bool:
        """Whether the third channel is a score. Published code takes any for one but NTU's."""
        if self.dataset in DATASETS:
            return channels == 3 and self.dataset != NTU
        return bool(item.get("scored")) and channels == 3

    def _stream(self, x: np.ndarray, feat: str, scored: bool) -> np.ndarray:
        everywhere = scored and (self.dataset in AVERAGED or self.dataset not in DATASETS)
        if feat[0] == "b":
            x = _between(x, x[:, :, self.parents], scored)
        elif feat[0] == "k":
            x = _between(x, x[:, :, self.k_parents], everywhere)
        if feat[-1] != "m":
            return x
        moved = np.zeros_like(x)
        moved[:, :-1] = _between(x[:, 1:], x[:, :-1], everywhere)
        return moved


def _between(x: np.ndarray, start: np.ndarray, scored: bool) -> np.ndarray:
    """``x - start``; of scores the mean."""
    made = x - start
    if scored:
        made[..., 2] = (x[..., 2] + start[..., 2]) / 2
    return made
