"""NTU RGB+D 60/120 for DeGCN: random crop, resize to a window, random rotation; joint, bone, motion streams."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.data.feeders.ntu import NTUFeeder


class Feeder(NTUFeeder):
    """``feeders.feeder_ntu.Feeder`` of the published configurations; arguments as in ``NTUFeeder``."""

    room_dir = Path(__file__).resolve().parents[1]
