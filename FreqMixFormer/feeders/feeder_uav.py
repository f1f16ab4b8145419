"""UAV-Human for FreqMixFormer: the recipe of NTU RGB+D with 17 joints."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.data.feeders.ntu import UAVFeeder


class Feeder(UAVFeeder):
    """``feeders.feeder_uav.Feeder``; arguments as in ``NTUFeeder``."""

    room_dir = Path(__file__).resolve().parents[1]
