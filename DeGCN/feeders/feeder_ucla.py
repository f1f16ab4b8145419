"""NW-UCLA for DeGCN: random view, coordinates stretched to -1..1, 52 frames; joint, bone, motion streams."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder


class Feeder(UCLAFeeder):
    """``feeders.feeder_ucla.Feeder`` of the published configurations; arguments as in ``UCLAFeeder``."""

    room_dir = Path(__file__).resolve().parents[1]
