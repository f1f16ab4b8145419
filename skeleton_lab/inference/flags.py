"""Flags of the programs that read recordings, as ``Wishes`` has them."""

from __future__ import annotations

import argparse
from pathlib import Path

from skeleton_lab.data.archives.opening import SPLITS
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.wishes import WINDOW
from skeleton_lab.skeletons.schemes import SCHEMES
from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser

FPS = 30.0
INPUT = (
    "key points (.json, .npy, .npz, folder of OpenPose frames), raw .skeleton files, annotations of PYSKL (.pkl), or "
    "any archive that the lab reads"
)


def of_a_network(made: Parser) -> None:
    """Which trained network: what ``opening.opened`` looks at, but for the device."""
    add = made.add_argument
    add("room", help="folder or image of the room: CTR-GCN, stgcn ...")
    add("--weights", type=Path, required=True, help="weights file of a training in that room")
    add("--config", type=Path, help="YAML file of the training; default: the config.yaml beside the weights, else the "
        "room's own")  # fmt: skip
    add("--trust-code", action="store_true", help=trust.HELP)


def of_recordings(made: Parser) -> None:
    """How recordings are read and cut, and what they are called."""
    add = made.add_argument
    add("--keypoints", choices=tuple(SCHEMES), help="order of the joints; needed where their number does not tell")
    add("--up", choices=normalise.UP, help="which axis of key points is up; default: as the skeleton says")
    add("--score", type=float, help=f"key points with a lower score were not found; default: {reading.SCORE:g}")
    add("--window", type=int, metavar="FRAMES", help="cut recordings into windows; 0: whole; default: that of the "
        f"configuration ({WINDOW} where it has none), of an archive of your own the usual length of its clips; "
        "whole clips of an archive")  # fmt: skip
    add("--stride", type=int, metavar="FRAMES", help="from window to window; default: half a window")
    add("--fps", type=float, default=FPS, help=f"frames per second of the recording; default: {FPS:g}")
    add("--split", choices=SPLITS, help="of an archive; default: test")
    add("--label-path", type=Path, metavar="FILE", help="labels of a .npy archive; default: the published name")
    add("--layout", help="of an archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one per line; default: those of the "
        "archive that the network was trained on, or the published ones")  # fmt: skip


def check(options: argparse.Namespace) -> None:
    """UsageError for a number of frames per second, or an output folder, that cannot be."""
    if not 0 < options.fps <= 1000:
        raise UsageError(f"--fps {options.fps:g} must be above 0 and at most 1000")
    if options.output.exists() and not options.output.is_dir():
        raise UsageError(f"--output {options.output} is a file; give a folder")
