"""Random numbers that belong to a sample, not to a process.

Every draw is a pure function of (seed, epoch, sample index, key, position), so an epoch is the same whatever the batch
size, the number of workers or the place where a run was resumed, and different in every epoch.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from hashlib import blake2b

import numpy as np

_WORD = (1 << 64) - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the increment of SplitMix64


def _mix(z: np.ndarray) -> np.ndarray:
    """Finaliser of SplitMix64 (Steele, Lea, Flood 2014; Stafford's variant 13): a bijection of 64-bit words."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@lru_cache(maxsize=1024)
def _word(key: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little"))


class Draws:
    """The random numbers of B samples in one epoch.

    A key names one decision ("crop", "rotation"); the same key always gives the same numbers, different keys give
    independent ones.

    Args:
        seed, epoch: integers of any size or sign (their lowest 64 bits count).
        index: (B,) integers, the samples.
    """

    def __init__(self, seed: int, epoch: int, index: np.ndarray) -> None:
        state = np.zeros(1, dtype=np.uint64)
        for word in (seed, epoch):
            state = _mix((state + _GOLDEN) ^ np.array([int(word) & _WORD], dtype=np.uint64))
        self._state = _mix((state + _GOLDEN) ^ np.asarray(index, dtype=np.int64).astype(np.uint64))

    def __len__(self) -> int:
        return len(self._state)

    def of(self, rows: np.ndarray) -> Draws:
        """The draws of some of the samples; rows (R,) int64."""
        part = copy.copy(self)
        part._state = self._state[rows]
        return part

    def bits(self, key: str, k: int = 1) -> np.ndarray:
        """(B, k) uint64, all bits random: a SplitMix64 stream from a hashed start for every sample and key."""
        start = _mix((self._state + _GOLDEN) ^ _word(key))
        return _mix(start[:, None] + np.arange(1, k + 1, dtype=np.uint64) * _GOLDEN)

    def uniform(self, key: str, k: int = 1, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """(B, k) float64, uniform in [low, high)."""
        unit = (self.bits(key, k) >> np.uint64(11)) * 2.0**-53
        return unit if (low, high) == (0.0, 1.0) else low + (high - low) * unit

    def normal(self, key: str, k: int = 1) -> np.ndarray:
        """(B, k) float64, standard normal (Box and Muller 1958)."""
        unit = self.uniform(key, 2 * k)
        return np.sqrt(-2.0 * np.log1p(-unit[:, :k])) * np.cos(2.0 * np.pi * unit[:, k:])

    def integers(self, key: str, low: int | np.ndarray, high: int | np.ndarray, k: int = 1) -> np.ndarray:
        """(B, k) int64, uniform in low..high-1; the bounds are numbers or one per sample, (B,)."""
        low, high = (np.asarray(bound, dtype=np.int64).reshape(-1, 1) for bound in (low, high))
        steps = np.floor(self.uniform(key, k) * (high - low)).astype(np.int64)
        return low + np.minimum(steps, high - low - 1)  # a product may round up to high - low

    def chance(self, key: str, p: float | np.ndarray = 0.5) -> np.ndarray:
        """(B,) bool, True with probability p."""
        return self.uniform(key)[:, 0] < p

    def ranks(self, key: str, k: int) -> np.ndarray:
        """(B, k) int64: a random permutation of 0..k-1 per sample; ``ranks < j`` is a random set of j positions."""
        return self.bits(key, k).argsort(axis=1).argsort(axis=1)

    def subset(self, key: str, k: int, size: int | np.ndarray) -> np.ndarray:
        """(B, k) int64: k different numbers out of 0..size-1, in no particular order (Floyd's algorithm).

        Args:
            size: at least k, a number or one per sample, (B,).
        """
        size = np.broadcast_to(np.asarray(size, dtype=np.int64), (len(self),))
        unit = self.uniform(key, k)
        chosen = np.empty((len(self), k), dtype=np.int64)
        for j in range(k):
            last = size - k + j
            pick = np.minimum((unit[:, j] * (last + 1)).astype(np.int64), last)
            taken = (chosen[:, :j] == pick[:, None]).any(axis=1)
            chosen[:, j] = np.where(taken, last, pick)
        return chosen
