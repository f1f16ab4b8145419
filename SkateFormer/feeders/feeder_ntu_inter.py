"""The two-person actions of NTU RGB+D 60/120 for SkateFormer: 11 and 26 classes."""

from __future__ import annotations

import numpy as np

from feeders import feeder_ntu
from skeleton_lab.data.feeders.ntu import NAMED_BY_FILE
from skeleton_lab.errors import ArchiveError

NTU60, NTU120 = range(49, 60), range(105, 120)  # labels, 0-based


class Feeder(feeder_ntu.Feeder):
    """``feeders.feeder_ntu_inter.Feeder``: as ``feeder_ntu.Feeder`` with the two-person actions only.

    Labels 49..59 become 0..10, and 105..119 become 11..25. Samples and their names are counted anew.

    Raises:
        ArchiveError: no clip shows such an action; what ``feeder_ntu.Feeder`` raises.
    """

    def choose(self, split: str, debug: bool) -> None:
        kept = np.flatnonzero(np.isin(self.label, [*NTU60, *NTU120]))
        if not len(kept):
            raise ArchiveError(
                f"{self.clips.path} has no {split} clip of a two-person action, label 49..59 or 105..119"
            )
        self.restrict(kept)
        more = self.label >= NTU120.start
        self.label -= np.where(more, NTU120.start - len(NTU60), NTU60.start)
        if self.num_class is not None:
            self.num_class = len(NTU60) + (len(NTU120) if self.num_class > NTU120.start else 0)
        if self.clips.layout not in NAMED_BY_FILE:
            self.sample_name = [f"{split}_{i}" for i in range(len(kept))]
        super().choose(split, debug)
