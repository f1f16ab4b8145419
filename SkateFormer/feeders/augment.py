"""What SkateFormer's feeders add: within a clip its set of augmentations, between clips an exchange of bone lengths.

Do and Kim 2024, section 4.2 (intra- and inter-instance augmentation), and the published feeders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skeleton_lab.data.feeders import augmentation, transforms
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.pipeline import Work
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.skeletons import bones as streams
from skeleton_lab.utils.tensors import Tensor, torch

TINY = 1e-5  # metres added to bone lengths before they are divided

# in the order in which they are applied; shear, rotation and scale, "1" to "3", are one matrix
BEFORE = {"a": augmentation.swap_persons, "b": augmentation.drop_person}
AFTER = {
    "4": augmentation.mirror, "5": augmentation.reverse, "6": augmentation.add_noise, "7": augmentation.smooth,
    "8": augmentation.drop_axis, "9": augmentation.drop_joints,
}  # fmt: skip


class TimedFeeder(Feeder):
    """A feeder whose items are (data, index_t, label, index); index_t (T,) float32 tells when each frame was."""

    def inputs(self, work: Work) -> tuple[Tensor, ...]:
        return *super().inputs(work), torch.from_numpy(work.index_t)


@dataclass
class Augment:
    """Training: changes within a clip with probability ``intra_p``, else between two with ``inter_p``, else none.

    ``methods`` are the characters of the changes within a clip, each of which happens to one of two such clips. Clips
    without frames are left alone.
    """

    methods: str
    intra_p: float
    inter_p: float
    transfer: BoneLengths = field(default_factory=lambda: BoneLengths(streams.NTU_SKATE))

    def __call__(self, work: Work) -> None:
        branch = work.draws.uniform("branch")[:, 0]
        intra = (branch < self.intra_p) & (work.n > 0)
        inter = (branch >= self.intra_p) & (branch < self.intra_p + self.inter_p) & (work.n > 0)
        if intra.any():
            self.within(work, np.flatnonzero(intra))
        if inter.any():
            self.transfer(work, np.flatnonzero(inter))

    def within(self, work: Work, rows: np.ndarray) -> None:
        self.each(work, rows, BEFORE)
        self.turn(work, rows)
        self.each(work, rows, AFTER)

    def each(self, work: Work, rows: np.ndarray, operations: dict[str, augmentation.Operation]) -> None:
        for character, operation in operations.items():
            if character in self.methods:
                chosen = rows[work.draws.of(rows).chance(f"gate {character}")]
                if len(chosen):
                    operation(work, chosen, work.draws.of(chosen))

    def turn(self, work: Work, rows: np.ndarray) -> None:
        """Shear, rotate and scale by one matrix per sample."""
        draws = work.draws.of(rows)
        gates = {c: draws.chance(f"gate {c}") if c in self.methods else np.zeros(len(rows), bool) for c in "123"}
        chosen = np.flatnonzero(gates["1"] | gates["2"] | gates["3"])
        if not len(chosen):
            return
        draws = draws.of(chosen)
        matrices = {
            "1": augmentation.shear_matrices(draws.uniform("s1", 3, -0.5, 0.5), draws.uniform("s2", 3, -0.5, 0.5)),
            "2": augmentation.axis_rotations(
                draws.integers("turn axis", 0 if work.D == 3 else 2, 3)[:, 0],  # in an image about the camera's axis
                draws.uniform("degrees", 1, -30.0, 30.0)[:, 0],
            ),
            "3": augmentation.scale_matrices(draws.uniform("scale", 3, -1.0, 1.0)),
        }
        product = np.eye(3)
        for c, matrix in matrices.items():
            product = np.where(gates[c][chosen, None, None], matrix, np.eye(3)) @ product
        work.x[rows[chosen]] = transforms.linear(work.x[rows[chosen]], transforms.in_plane(product, work.D))


class BoneLengths:
    """Give a clip the bone lengths, and the path of the root, of another clip of its class.

    Args:
        parent: (V,) int64 with one root.
    """

    def __init__(self, parent: np.ndarray) -> None:
        self.parent = torch.from_numpy(parent)
        depth = np.array([_depth(parent, joint) for joint in range(len(parent))])
        self.root = int(depth.argmin())
        self.levels = [torch.from_numpy(np.flatnonzero(depth == d)) for d in range(1, depth.max() + 1)]
        self._classes: tuple[Any, np.ndarray, np.ndarray] | None = None  # of the clips that were used last

    def __call__(self, work: Work, rows: np.ndarray) -> None:
        other = self.reference(work.clips, work.sample[rows], work.draws.of(rows))
        n, _ = work.clips.lengths(other)
        rows, other, n = rows[n > 0], other[n > 0], n[n > 0]
        if not len(rows):
            return
        frames = np.rint((work.index_t[rows] + 1) * n[:, None].astype(np.float32) / 2).astype(np.int64)
        lent = transforms.frames_last(work.clips.gather(other, frames))
        work.x[rows] = self.transferred(work.x[rows], lent, work.D)

    def reference(self, clips: Any, sample: np.ndarray, draws: Draws) -> np.ndarray:
        """(R,) clips of the same classes as ``sample`` (R,), any of them with the same chance."""
        if self._classes is None or self._classes[0] is not clips:
            order = np.argsort(clips.labels, kind="stable")
            self._classes = clips, order, clips.labels[order]
        _, order, labels = self._classes
        first, end = (np.searchsorted(labels, clips.labels[sample], side) for side in ("left", "right"))
        return order[draws.integers("reference", first, end)[:, 0]]

    def transferred(self, x: Tensor, lent: Tensor, D: int = 3) -> Tensor:
        """Directions of x, lengths and root of ``lent``; both (R, M, V, C, W). Scores behind the D coordinates stay."""
        if x.shape[3] > D:
            points = self.transferred(x[..., :D, :], lent[..., :D, :], D)
            return torch.cat([points, x[..., D:, :]], -2)
        bones = transforms.bone(x, self.parent)
        ratio = (_norm(transforms.bone(lent, self.parent)) + TINY) / (_norm(bones) + TINY)
        y = bones.mul_(ratio)
        y[:, :, self.root] = lent[:, :, self.root]
        for level in self.levels:
            y[:, :, level] += y[:, :, self.parent[level]]
        return y

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_classes": None}


def _depth(parent: np.ndarray, joint: int) -> int:
    return 0 if parent[joint] == joint else 1 + _depth(parent, int(parent[joint]))


def _norm(x: Tensor) -> Tensor:
    """Lengths (R, M, V, 1, W) of vectors (R, M, V, D, W)."""
    return sum(x[:, :, :, d : d + 1].square() for d in range(x.shape[3])).sqrt()
