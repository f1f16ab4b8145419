"""Persons of OpenPose clips, which come in any order from frame to frame: the best of each frame, and who is who.

Clips are (B, M, V, 3, T) with channels x, y, score (Yan et al. 2018, section 4.1 and the published feeder of Kinetics).
"""

from __future__ import annotations

from dataclasses import dataclass

from skeleton_lab.data.feeders.pipeline import Work
from skeleton_lab.utils.tensors import Tensor, torch


@dataclass
class KeepFirst:
    """Only the first ``count`` skeletons of a frame, as the file lists them."""

    count: int

    def __call__(self, work: Work) -> None:
        work.x = work.x[:, : self.count]


@dataclass
class KeepBest:
    """In every frame the ``count`` persons with the largest sums of scores, best first."""

    count: int

    def __call__(self, work: Work) -> None:
        score = work.x[:, :, :, 2].sum(2)  # (B, M, T)
        work.x = persons(work.x, by_score(score)[:, : self.count])


def match_poses(work: Work) -> None:
    """Give every person one slot for the whole clip."""
    work.x = openpose_match(work.x)


def by_score(score: Tensor) -> Tensor:
    """Persons (axis 1) by descending score; equal ones keep their order."""
    return torch.sort(-score, dim=1, stable=True).indices


def persons(x: Tensor, slot: Tensor) -> Tensor:
    """Person ``slot`` (B, K, T) of every frame: (B, M, V, C, T) to (B, K, V, C, T)."""
    _, _, V, C, T = x.shape
    return x.gather(1, slot[:, :, None, None].expand(-1, -1, V, C, T))


def openpose_match(x: Tensor) -> Tensor:
    """Link the persons of consecutive frames by distance, the most certain first, and sort them by total score.

    With more than two persons the published code reads the row of another person than it has ranked; kept.

    Args:
        x: (B, M, V, 3, T).
    """
    score = x[:, :, :, 2].sum(2)  # (B, M, T)
    slot = torch.arange(x.shape[1]).view(1, -1, 1).expand_as(score).clone()
    slot[..., 1:] = nearest(x[:, :, :, :2], by_score(score)[..., :-1])
    step = 1
    while step < x.shape[-1]:  # prefix compositions by doubling: after it, slot leads from frame 0 to each frame
        slot = torch.cat([slot[..., :step], slot[..., step:].gather(1, slot[..., :-step])], dim=-1)
        step *= 2
    y = persons(x, slot)
    total = by_score(y[:, :, :, 2].sum((2, 3)))
    return persons(y, total[..., None].expand_as(slot))


def nearest(xy: Tensor, rank: Tensor) -> Tensor:
    """Which person of the next frame continues each person of a frame; nobody continues two.

    Args:
        xy: (B, M, V, 2, T). rank: (B, M, T-1), persons by descending score.

    Returns:
        (B, M, T-1), a permutation along axis 1.
    """
    here, there = xy[..., :-1], xy[..., 1:]
    M = xy.shape[1]
    distance = torch.stack([(there - here[:, i : i + 1]).square().sum((2, 3)) for i in range(M)], dim=1)  # (B, i, j, t)
    position = rank.argsort(dim=1)  # where person m stands in the ranking
    follower = torch.empty_like(rank)
    for m in range(M):
        row = position[:, m : m + 1]
        of_row = distance.gather(1, row[:, :, None].expand(-1, -1, M, -1))[:, 0]  # (B, M, T-1)
        chosen = of_row.argmin(1, keepdim=True)
        follower.scatter_(1, row, chosen)
        distance.scatter_(2, chosen[:, None].expand(-1, M, -1, -1), torch.inf)
    return follower
