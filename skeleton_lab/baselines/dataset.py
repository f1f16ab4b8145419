"""Whole clips of an archive, as they are stored: the data set of the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from skeleton_lab.baselines.models import CLASSES, COORDINATES, JOINTS
from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.locate import DEFAULTS, default_archive, locate
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.errors import ArchiveError

SHAPES = 8  # clips of the check that the module does as a script


def find_archive(path: str | Path | None, places: Sequence[str] = DEFAULTS) -> Path:
    """Where ``path`` is, or without one the first of ``places``.

    Raises:
        ArchiveNotFoundError: nowhere; the message lists the places.
    """
    return default_archive(places) if path is None else locate(path)


class NTU60SkeletonDataset(Dataset):
    """Clips of an NTU archive in any accepted layout, in full length.

    An item is x float32 (C=3, T, V=25, M=2), or (3, T, 25) of the first person, and y, an int64 tensor without axes.

    Args:
        npz_path: Kaggle (N, T, 150), (N, T, 75) or CTR layout (N, 3, T, 25, M), labels one-hot or class ids.
        split: "train" or "test".
        use_both_persons: otherwise person 0 only.
        transform: is called with every x, last.
        layout: archive layout, where the file's content does not tell (docs/data.md).

    Raises:
        ArchiveError, ArchiveKeyError, ArchiveNotFoundError: the archive is missing or not of this kind.
        UsageError: another split.
    """

    def __init__(
        self,
        npz_path: str | Path,
        split: str = "train",
        use_both_persons: bool = True,
        transform: Callable[[Tensor], Tensor] | None = None,
        layout: str | None = None,
    ):
        path = locate(npz_path)
        data, labels = both_splits.located(path, split)
        self.clips = open_archive(data, split, label_path=labels, layout=layout)
        if (self.clips.C, self.clips.V) != (COORDINATES, JOINTS):
            raise ArchiveError(
                f"{path} holds {self.clips.V} joints of {self.clips.C} coordinates, the baselines take 25 joints of 3"
            )
        self.labels = torch.from_numpy(self.clips.labels)
        self.num_class = max(self.clips.num_class or CLASSES, int(self.labels.max()) + 1)
        self.use_both_persons, self.transform = use_both_persons, transform

    def __len__(self) -> int:
        return len(self.clips)

    def __getitems__(self, batch: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """The items of a batch, read with one call."""
        index = np.asarray(batch, np.int64).reshape(-1)
        index = np.where(index < 0, index + len(self), index)
        x = torch.from_numpy(self.clips.clips(index))
        if not self.use_both_persons:
            x = x[..., 0]
        elif x.shape[4] < 2:
            x = torch.cat([x, torch.zeros_like(x)], dim=4)
        clips = x.unbind() if self.transform is None else [self.transform(clip) for clip in x]
        return list(zip(clips, self.labels[torch.from_numpy(index)].unbind()))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])[0]


def check(npz_path: str | Path | None) -> None:
    """Print what the archive holds and the shapes of one batch of either split."""
    path = find_archive(npz_path)
    print(f"Dataset path: {path}")
    for split in ("train", "test"):
        data = NTU60SkeletonDataset(path, split)
        print(f"{split}: {len(data)} clips in {data.clips.layout} layout, {data.num_class} classes")
        loader = torch.utils.data.DataLoader(data, batch_size=SHAPES)
        x, y = next(iter(loader))
        print(f"  one batch: x {tuple(x.shape)} {x.dtype}, y {tuple(y.shape)} {y.dtype}")
        second = x[..., 1].flatten(1).any(1).sum()
        print(f"  x from {x.min():.3f} to {x.max():.3f} m, a second person in {second} of {len(x)} clips")
