"""Batched transforms with their random draws as arguments.

A batch is a tensor (B, M, V, C, W): samples, persons, joints, coordinates, frames. Frames come last because all that
happens after resampling (rotation, bones, differences, smoothing) then runs along contiguous memory, and because the
first batch norm of the models wants (N, M*V*C, T): the (N, C, T, V, M) view that they are fed needs no copy there.

Everything is elementwise or a copy, never a matrix product, so a sample's result does not depend on its batch.
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.utils.tensors import Tensor, torch


def from_ctvm(x: Tensor) -> Tensor:
    """(B, C, T, V, M) to (B, M, V, C, T), a view."""
    return x.permute(0, 4, 3, 1, 2)


def to_ctvm(x: Tensor) -> Tensor:
    """(B, M, V, C, T) to (B, C, T, V, M), a view."""
    return x.permute(0, 3, 4, 2, 1)


def frames_last(y: np.ndarray) -> Tensor:
    """Gathered rows (B, W, M, V, C) become the batch (B, M, V, C, W), contiguous."""
    batch, window = y.shape[:2]
    columns = np.ascontiguousarray(y.reshape(batch, window, -1).transpose(0, 2, 1))
    return torch.from_numpy(columns).view(batch, *y.shape[2:], window)


def centre_crop(n: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """First frame and length of the middle part p of clips with n valid frames; all (B,) int64.

    A clip without frames gets length 1: its first frame is zero, and so is everything made from it.
    """
    start = np.trunc((1 - p) * n / 2).astype(np.int64)
    return start, np.maximum(n - 2 * start, 1)


def random_crop(n: np.ndarray, p: np.ndarray, place: np.ndarray, least: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """First frame and length of a part p of clips with n valid frames, not shorter than ``least`` if the clip is not.

    Args:
        n: (B,) int64.
        p: (B,) float64, the share of the frames to keep.
        place: (B,) float64 in [0, 1), where among the n - length + 1 places the crop lies.
    """
    length = np.minimum(np.maximum(np.floor(n * p).astype(np.int64), least), n)
    places = n - length + 1
    start = np.minimum(np.floor(place * places).astype(np.int64), places - 1)
    return start, np.maximum(length, 1)


def centre_crop_of_least(n: np.ndarray, p: float, least: int) -> tuple[np.ndarray, np.ndarray]:
    """First frame and length of a middle part p that is not shorter than ``least`` if the clip is not (SkateFormer).

    The start does not know of ``least``: short clips are read beyond their end, as published.
    """
    start = np.trunc((1 - p) * n / 2).astype(np.int64)
    length = np.minimum(np.maximum(np.floor(n * p).astype(np.int64), least), n)
    return start, np.maximum(length, 1)


def clip_time(frames: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Frames (B, W) of clips of n (B,) frames on a scale from -1 (first) to 1 (end); float32.

    A clip without frames gets W even steps.
    """
    even = np.arange(frames.shape[1]) / frames.shape[1]
    share = np.where(n[:, None] > 0, frames / np.maximum(n, 1)[:, None], even)
    return (2 * share - 1).astype(np.float32)


def resize_positions(length: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the frames of the output lie in a crop: linear interpolation with half-pixel centres, no anti-aliasing.

    Args:
        length: (B,) int64, frames in the crop, at least 1.

    Returns:
        i0, i1 (B, W) int64 the two neighbours inside the crop, and a (B, W) float32 the weight of the second, 0 where
        both are the last frame (so that a frame at rest is copied without rounding).
    """
    half = np.float32(0.5)
    scale = (length / window).astype(np.float32)[:, None]
    s = np.maximum((np.arange(window, dtype=np.float32) + half) * scale - half, np.float32(0))
    i0 = np.minimum(s.astype(np.int64), length[:, None] - 1)
    i1 = np.minimum(i0 + 1, length[:, None] - 1)
    return i0, i1, np.where(i1 > i0, s - i0.astype(np.float32), np.float32(0))


def blend(first: np.ndarray, second: np.ndarray, a: np.ndarray) -> np.ndarray:
    """(1 - a) * first + a * second for rows (B, W, M, V, C) and weights (B, W); overwrites both inputs."""
    y0, y1, weight = torch.from_numpy(first), torch.from_numpy(second), torch.from_numpy(a)[..., None]
    rows = (*y0.shape[:2], -1)
    y0.view(rows).mul_(1 - weight).add_(y1.view(rows).mul_(weight))
    return first


def rotation_matrices(angles: np.ndarray) -> np.ndarray:
    """``Rz @ Ry @ Rx`` of angles (B, 3) in radians about x, y, z: (B, 3, 3) float64.

    The signs are the published ones: Rx = [1 0 0; 0 c s; 0 -s c], Ry = [c 0 -s; 0 1 0; s 0 c], Rz = [c s 0; -s c 0;
    0 0 1].
    """
    cx, cy, cz = np.cos(angles).T
    sx, sy, sz = np.sin(angles).T
    entries = (
        cz * cy, sz * cx + cz * sy * sx, sz * sx - cz * sy * cx,
        -sz * cy, cz * cx - sz * sy * sx, cz * sx + sz * sy * cx,
        sy, -cy * sx, cy * cx,
    )  # fmt: skip
    return np.stack(entries, axis=-1).reshape(-1, 3, 3)


def turn_to_x(d: np.ndarray) -> np.ndarray:
    """Rotations that turn vectors d (B, 3) onto the direction of +x: (B, 3, 3) float64 (Rodrigues' formula).

    The identity where there is nothing to turn: d is zero, or lies on the x axis (also when it points to -x).
    """
    small = 1e-6
    length = np.linalg.norm(d, axis=1)
    axis = np.stack([np.zeros(len(d)), d[:, 2], -d[:, 1]], axis=1)  # d x (1, 0, 0)
    angle = np.arccos(np.clip(d[:, 0] / np.where(length > 0, length, 1), -1, 1))
    still = (np.abs(d).sum(1) < small) | (np.abs(axis).sum(1) < small) | (angle < small)
    axis /= np.where(still, 1, np.linalg.norm(axis, axis=1))[:, None]
    cross = np.cross(axis[:, None, :], np.eye(3)).transpose(0, 2, 1)  # cross @ v = axis x v
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    turn = cos * np.eye(3) + sin * cross + (1 - cos) * axis[:, :, None] * axis[:, None, :]
    return np.where(still[:, None, None], np.eye(3), turn)


def linear(x: Tensor, matrices: np.ndarray) -> Tensor:
    """``y = A x`` for every joint, frame and person; channels behind the D coordinates stay what they are.

    Args:
        x: (B, M, V, C, W).
        matrices: (B, D, D), D <= C, rounded to the type of x.
    """
    D = matrices.shape[-1]
    a = torch.from_numpy(matrices).to(x.dtype).view(-1, D, D, 1, 1, 1)
    y, scratch = torch.empty_like(x), torch.empty_like(x[..., 0, :])
    for row in range(D):
        out = y[..., row, :]
        torch.mul(x[..., 0, :], a[:, row, 0], out=out)
        for column in range(1, D):
            out.add_(torch.mul(x[..., column, :], a[:, row, column], out=scratch))
    y[..., D:, :] = x[..., D:, :]
    return y


def in_plane(matrices: np.ndarray, D: int) -> np.ndarray:
    """(B, 3, 3) for points of D coordinates: (B, D, D). In an image what leads out of its plane is left out."""
    return matrices[:, :D, :D]


def bone(x: Tensor, parent: Tensor, D: int = 3) -> Tensor:
    """Every joint minus its parent; ``parent`` (V,) int64, see ``streams``.

    A score behind the D coordinates becomes that of the bone: the mean of its two joints (PYSKL).
    """
    y = x.index_select(2, parent).neg_().add_(x)
    if x.shape[3] > D:
        y[..., D:, :] = (x[..., D:, :] + x.index_select(2, parent)[..., D:, :]) / 2
    return y


def motion(x: Tensor, D: int = 3) -> Tensor:
    """Next frame minus this one; zero in the last frame. A score behind the D coordinates: the mean of both frames."""
    y = torch.zeros_like(x)
    torch.sub(x[..., 1:], x[..., :-1], out=y[..., :-1])
    if x.shape[3] > D:
        y[..., D:, :-1] = (x[..., D:, 1:] + x[..., D:, :-1]) / 2
    return y


def people(x: Tensor, count: int) -> Tensor:
    """Exactly ``count`` persons: further ones are dropped, missing ones are zero."""
    stored = x.shape[1]
    if stored >= count:
        return x[:, :count]
    return torch.cat([x, x.new_zeros(x.shape[0], count - stored, *x.shape[2:])], dim=1)


def spread_to_unit(x: Tensor) -> Tensor:
    """Each coordinate of a sample, over all its frames and joints, stretched to -1..1; a constant one becomes 0."""
    low, high = x.amin(dim=(1, 2, 4), keepdim=True), x.amax(dim=(1, 2, 4), keepdim=True)
    span = high - low
    return torch.where(span > 0, 2 * (x - low) / torch.where(span > 0, span, 1) - 1, 0)


def even_frames(length: np.ndarray, count: int) -> np.ndarray:
    """``count`` frames from first to last, (B, count) int64: multiples of the rounded step, truncated."""
    step = (length - 1) / max(count - 1, 1)
    index = (np.arange(count) * step[:, None]).astype(np.int64)
    index[:, -1] = length - 1
    return index


def pick_frames(x: Tensor, index: np.ndarray) -> Tensor:
    """Frames ``index`` (B, S) of every sample: (B, M, V, C, T) to (B, M, V, C, S)."""
    where = torch.from_numpy(index)[:, None, None, None, :].expand(*x.shape[:-1], -1)
    return x.gather(-1, where)
