"""The flags of ``skeleton-lab live``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from skeleton_lab.errors import UsageError
from skeleton_lab.inference.flags import FPS, of_a_network
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.live import sources
from skeleton_lab.live.labels import Steadiness
from skeleton_lab.skeletons.schemes import SCHEMES
from skeleton_lab.utils.cli import Parser, check_sizes

LONGEST = 10_000  # frames of a window
ENDS = ("pad", "wait")  # of --continual


def parser() -> Parser:
    made = Parser(
        description="The action of each person, again and again, while key points come in as JSON lines from a pipe, "
        "a file that grows, or UDP. Labels go out as JSON lines.",
    )
    of_a_network(made)
    add = made.add_argument
    add("--device", default="cpu", help="cpu, 0, cuda:0 (default: cpu)")
    _of_the_input(made)
    _of_videos(made)
    _of_labels(made)
    add("--output", type=Path, metavar="FILE", help="JSON lines of labels; default: stdout, without --view")
    add("--view", action="store_true", help="show people and labels on stderr, for reading")
    add("--record", type=Path, metavar="FILE", help="write the frames as JSON lines, which --input plays again")
    add("--stats", type=Path, metavar="FILE", help="at the end: delays, frames and memory as JSON")
    return made


def _of_the_input(made: Parser) -> None:
    add = made.add_argument
    add("--input", default="-", metavar="FILE", help="JSON lines, one frame each; default: -, stdin")
    add("--follow", action="store_true", help="go on when the file's end is reached: it grows")
    add("--udp", type=int, metavar="PORT", help="frames come as datagrams to this port, in place of --input")
    add("--host", default=sources.LOOPBACK, help=f"address to listen on (default: {sources.LOOPBACK}, this machine)")
    add("--idle", type=float, metavar="SECONDS", help="end when no frame has come for so long")
    add("--keypoints", choices=tuple(SCHEMES), help="order of the joints; needed where their number does not tell")
    add("--up", choices=normalise.UP, help="which axis of key points is up; default: as the skeleton says")
    add("--score", type=float, help=f"key points with a lower score were not found; default: {reading.SCORE:g}")
    add("--fps", type=float, default=FPS, help=f"frames per second, for frames without a time; default: {FPS:g}")
    add("--resample", type=float, metavar="RATE", help="make frames of a constant rate by their times: networks have "
        "learned from 30 per second")  # fmt: skip


def _of_videos(made: Parser) -> None:
    add = made.add_argument
    add("--video", type=Path, metavar="FILE", help="find key points in the frames of a video, in place of --input")
    add("--camera", type=int, metavar="NUMBER", help="the same of a camera's: 0 is the first one")
    add("--pose-model", type=Path, metavar="FILE", help="ONNX file of RTMPose, for --video and --camera")
    add("--det-model", type=Path, metavar="FILE", help="ONNX file of YOLOX or RTMDet, which finds people; default: "
        "none, one person fills the picture")  # fmt: skip
    add("--detect-every", type=int, default=10, metavar="FRAMES", help="look for people anew; between, each is looked "
        "for where they were (default: 10)")  # fmt: skip


def _of_labels(made: Parser) -> None:
    add, how = made.add_argument, Steadiness()
    add("--window", type=int, metavar="FRAMES", help="that a label looks back on; default: as predict cuts recordings")
    add("--every", type=int, default=10, metavar="FRAMES", help="from label to label (default: 10)")
    add("--least", type=int, metavar="FRAMES", help="of the window in which somebody has to be seen; default: a "
        "quarter of it")  # fmt: skip
    add("--people", type=int, default=2, metavar="N", help="who is judged at most: those seen most (default: 2)")
    add("--continual", nargs="?", const=ENDS[0], choices=ENDS, help="take each frame once, for networks that can: pad: "
        "labels as of a clip that ends now; wait: of what no later frame changes, for less work")  # fmt: skip
    add("--together", action="store_true", help="judge all of them together, for actions of two")
    add("--smooth", type=float, default=how.smooth, metavar="SECONDS", help="over which judgements are averaged; 0: "
        f"not at all (default: {how.smooth:g})")  # fmt: skip
    add("--threshold", type=float, default=how.threshold, metavar="P", help="probability below which nothing is "
        f"happening (default: {how.threshold:g})")  # fmt: skip
    add("--hysteresis", type=float, default=how.hysteresis, metavar="P", help="by how much another action has to be "
        f"more probable than the last one (default: {how.hysteresis:g})")  # fmt: skip
    add("--no-skip", action="store_true", help="leave out no label where the machine is too slow: let the source wait")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one per line; default: those of the "
        "archive that the network was trained on, or the published ones")  # fmt: skip


def checked(options: argparse.Namespace) -> tuple[Wishes, Steadiness]:
    """What is wished of the key points and of the labels; UsageError for what cannot work."""
    check_sizes(options, "every", "people", "detect_every")
    for flag, most in (("window", LONGEST), ("least", options.window or LONGEST)):
        value = getattr(options, flag)
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"--{flag} {value}: frames, from 1 to {most}")
    for flag in ("fps", "resample"):
        value = getattr(options, flag)
        if value is not None and not 0 < value <= 1000:
            raise UsageError(f"--{flag} {value:g} must be above 0 and at most 1000")
    if options.idle is not None and not 0 < options.idle < math.inf:
        raise UsageError(f"--idle {options.idle:g} must be seconds, more than 0")
    _check_input(options)
    _check_files(options)
    wishes = Wishes(keypoints=options.keypoints, up=options.up, score=options.score, together=options.together)
    return wishes, Steadiness(options.smooth, options.threshold, options.hysteresis)


def _check_input(options: argparse.Namespace) -> None:
    _check_videos(options)
    if options.udp is not None:
        if not 0 < options.udp < 1 << 16:
            raise UsageError(f"--udp {options.udp}: a port is 1 to 65535")
        if options.input != "-" or options.follow:
            raise UsageError("--udp takes the place of --input and --follow: leave one out")
    elif options.host != sources.LOOPBACK:
        raise UsageError("--host is for --udp")
    if options.follow and options.input == "-":
        raise UsageError("--follow is for a file: name it with --input")


def _check_videos(options: argparse.Namespace) -> None:
    given = [flag for flag in ("video", "camera") if getattr(options, flag) is not None]
    if not given:
        for flag in ("pose_model", "det_model"):
            if getattr(options, flag) is not None:
                raise UsageError(f"--{flag.replace('_', '-')} is for --video and --camera")
        return
    if len(given) > 1 or options.input != "-" or options.udp is not None or options.follow:
        raise UsageError(f"--{given[0]} is where frames come from: leave out --input, --follow, --udp and any other")
    if options.pose_model is None:
        raise UsageError(
            f"--{given[0]} needs --pose-model FILE, an ONNX file of RTMPose (docs/live.md says where they are)"
        )
    if options.camera is not None and options.camera < 0:
        raise UsageError(f"--camera {options.camera}: a number, 0 for the first one")


def _check_files(options: argparse.Namespace) -> None:
    taken = {} if options.input == "-" else {Path(options.input).resolve(): "input"}
    for flag in ("output", "record", "stats"):
        path = getattr(options, flag)
        if path is None:
            continue
        other = taken.setdefault(path.resolve(), flag)
        if other != flag and (path.is_file() or not path.exists()):
            raise UsageError(f"--{flag} {path} is --{other}, too: name another file")
        if path.is_dir() or not path.parent.is_dir():
            why = "is a folder; name a file" if path.is_dir() else f": there is no folder {path.parent}"
            raise UsageError(f"--{flag} {path} {why}")
        if flag != "stats" and path.is_file() and path.stat().st_size:
            raise UsageError(f"--{flag} {path} is there already, and nothing is written over it: name another file")
