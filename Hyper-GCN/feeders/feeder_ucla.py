"""NW-UCLA for Hyper-GCN: random view, -1..1, 64 frames; in training a coordinate or some joints may be missing."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder


class Feeder(UCLAFeeder):
    """``feeders.feeder_ucla.Feeder`` of the published configurations; arguments as in ``UCLAFeeder``."""

    room_dir = Path(__file__).resolve().parents[1]
    frames = 64
    drop = 0.5
