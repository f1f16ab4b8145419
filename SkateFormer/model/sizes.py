"""Which sizes fit each other, and what to say where they do not."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from skeleton_lab.errors import UsageError


def divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def check_stages(depths: Sequence[int], channels: Sequence[int], embed_dim: int) -> None:
    """UsageError unless the stages can be built in a row."""
    if len(depths) != len(channels) or not depths:
        raise UsageError(f"depths has {len(depths)} entries and channels {len(channels)}: one of each for every stage")
    if embed_dim != channels[0]:
        raise UsageError(f"embed_dim={embed_dim} must equal channels[0]={channels[0]}: stage 1 has no projection")
    if embed_dim % 2:
        raise UsageError(f"embed_dim={embed_dim} must be even: the position takes a sine and a cosine each")
    for C in channels:
        if C % 8:
            raise UsageError(f"channels={list(channels)}: {C} is not divisible by 8, the slices of a block")


def check_heads(num_heads: int, channels: Sequence[int]) -> None:
    """UsageError unless the heads divide the channels of every stage."""
    if num_heads < 8:
        raise UsageError(f"num_heads={num_heads} is too small: each attention gets num_heads // 8 heads")

    def fits(heads: int, C: int) -> bool:
        return (C // 8) % (heads // 8) == 0 and (C // 4) % (heads // 4) == 0

    for C in channels:
        if not fits(num_heads, C):
            multiples = range(8, min(channels) + 1, 8)
            known = " ".join(str(n) for n in multiples if all(fits(n, width) for width in channels))
            raise UsageError(
                f"num_heads={num_heads} does not fit {C} channels; multiples of 8 that fit all stages: {known}"
            )


def check_partitions(sizes: Sequence[Sequence[int]], num_points: int, num_people: int) -> None:
    """UsageError unless every ``type_k_size`` is a pair whose second entry divides the tokens of a frame."""
    J = num_points * num_people
    for k, size in enumerate(sizes, start=1):
        if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
            raise UsageError(f"type_{k}_size={size} must be two positive integers, frames and tokens of a window")
        if J % size[1]:
            known = " ".join(str(n) for n in divisors(J))
            raise UsageError(
                f"type_{k}_size[1]={size[1]} does not divide the {J} tokens of a frame "
                f"(num_points {num_points} x num_people {num_people}); divisors: {known}"
            )


def check_rest(kernel_size: int, global_pool: str, **rates: float) -> None:
    """UsageError for an even kernel, an unknown pooling or a rate outside [0, 1)."""
    if kernel_size % 2 == 0:
        raise UsageError(f"kernel_size={kernel_size} must be odd: an even kernel would shorten the temporal branch")
    if global_pool not in ("avg", "max"):
        raise UsageError(f"global_pool='{global_pool}' must be 'avg' or 'max'")
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise UsageError(f"{name}={rate} must be at least 0 and below 1")


def check_input(shape: Sequence[int], in_channels: int, num_points: int, num_people: int) -> None:
    """UsageError unless ``shape`` is (N, in_channels, T, num_points, num_people)."""
    if len(shape) != 5 or shape[1] != in_channels or shape[3] * shape[4] != num_points * num_people:
        raise UsageError(
            f"input of shape {tuple(shape)}; expected (N, {in_channels}, T, {num_points}, {num_people}): "
            "channels, frames, joints, people"
        )


def check_positions(shape: Sequence[int] | None, N: int, T: int) -> None:
    """UsageError unless ``index_t`` is there, as (N, T)."""
    if shape is None:
        raise UsageError(f"index_t=True needs the frames' positions ({N}, {T}) as second input")
    if tuple(shape) != (N, T):
        raise UsageError(f"index_t of shape {tuple(shape)}; expected ({N}, {T}), a position for every frame")


def check_frames(num_frames: int, T: int) -> None:
    """UsageError unless the learned embedding has as many frames as the window."""
    if num_frames != T:
        raise UsageError(f"num_frames={num_frames} but the window has {T} frames")


def largest_divisor(T: int, a: int) -> int:
    """The largest divisor of T that is at most a: the frames of a window where a does not divide T."""
    return next(n for n in range(min(a, T), 0, -1) if T % n == 0)


def tell_reduced(T: int, stages: int, lengths: Sequence[int], told: set[int]) -> None:
    """One line for the log, the first time that a window's stages need smaller partitions than ``lengths`` frames."""
    if T in told:
        return
    told.add(T)
    frames = [-(-T // 2**s) for s in range(stages)]
    for a in sorted(set(lengths)):
        used = [largest_divisor(n, a) for n in frames]
        if set(used) != {a}:
            logging.getLogger("skeleton_lab").info(
                f"SkateFormer: window {T} gives stages of {', '.join(map(str, frames))} frames; "
                f"partition length {a} is reduced to {', '.join(map(str, used))}"
            )
