"""``skeleton-lab live ROOM``: names actions while they happen."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.live import sources
from skeleton_lab.live.figures import Figures
from skeleton_lab.live.labels import Steadiness
from skeleton_lab.live.sources import Frame
from skeleton_lab.skeletons.schemes import SCHEMES
from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser, check_sizes

if TYPE_CHECKING:
    from skeleton_lab.inference.network import Network
    from skeleton_lab.live.reading import Reader

FPS = 30.0
LONGEST = 10_000  # frames of a window


class Source(NamedTuple):
    """Frames, what messages call their source, and whether it goes on while nobody takes them."""

    frames: Callable[[Reader], Iterable[Frame | None]]
    name: str
    flows: bool


def _parser() -> Parser:
    parser = Parser(
        description="The action of each person, again and again, while key points come in as JSON lines from a pipe, "
        "a file that grows, or UDP. Labels go out as JSON lines.",
    )
    add = parser.add_argument
    add("room", help="folder or image of the room: CTR-GCN, stgcn ...")
    add("--weights", type=Path, required=True, help="weights file of a training in that room")
    add("--config", type=Path, help="YAML file of the training; default: the config.yaml beside the weights, else the "
        "room's own")  # fmt: skip
    add("--device", default="cpu", help="cpu, 0, cuda:0 (default: cpu)")
    add("--trust-code", action="store_true", help=trust.HELP)
    _input_flags(parser)
    _judging_flags(parser)
    add("--output", type=Path, metavar="FILE", help="JSON lines of labels; default: stdout, without --view")
    add("--view", action="store_true", help="show people and labels on stderr, for reading")
    add("--record", type=Path, metavar="FILE", help="write the frames as JSON lines, which --input plays again")
    add("--stats", type=Path, metavar="FILE", help="at the end: delays, frames and memory as JSON")
    return parser


def _input_flags(parser: Parser) -> None:
    add = parser.add_argument
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


def _judging_flags(parser: Parser) -> None:
    add, how = parser.add_argument, Steadiness()
    add("--window", type=int, metavar="FRAMES", help="that a label looks back on; default: as predict cuts recordings")
    add("--every", type=int, default=10, metavar="FRAMES", help="from label to label (default: 10)")
    add("--least", type=int, metavar="FRAMES", help="of the window in which somebody has to be seen; default: a "
        "quarter of it")  # fmt: skip
    add("--people", type=int, default=2, metavar="N", help="who is judged at most: those seen most (default: 2)")
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


def _checked(options: argparse.Namespace) -> tuple[Wishes, Steadiness]:
    """UsageError for numbers that cannot work, and for flags that exclude each other."""
    check_sizes(options, "every", "people")
    for flag, most in (("window", LONGEST), ("least", options.window or LONGEST)):
        value = getattr(options, flag)
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"--{flag} {value}: frames, from 1 to {most}")
    for flag in ("fps", "resample", "idle"):
        value = getattr(options, flag)
        if value is not None and not (0 < value <= 1000 or (flag == "idle" and 0 < value < math.inf)):
            raise UsageError(f"--{flag} {value:g} must be above 0" + (" and at most 1000" if flag != "idle" else ""))
    if options.udp is not None:
        if not 0 < options.udp < 1 << 16:
            raise UsageError(f"--udp {options.udp}: a port is 1 to 65535")
        if options.input != "-" or options.follow:
            raise UsageError("--udp takes the place of --input and --follow: leave one out")
    elif options.host != sources.LOOPBACK:
        raise UsageError("--host is for --udp")
    if options.follow and options.input == "-":
        raise UsageError("--follow is for a file: name it with --input")
    for flag in ("output", "record", "stats"):
        path = getattr(options, flag)
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise UsageError(f"--{flag} {path}: {'a folder' if path.is_dir() else 'there is no folder ' + str(path.parent)}")
        if path is not None and flag != "stats" and path.is_file() and path.stat().st_size:
            raise UsageError(f"--{flag} {path} is there already, and nothing is written over it: name another file")
    wishes = Wishes(keypoints=options.keypoints, up=options.up, score=options.score, together=options.together)
    return wishes, Steadiness(options.smooth, options.threshold, options.hysteresis)


def source_of(options: argparse.Namespace) -> Source:
    """What the flags name.

    Raises:
        UsageError: there is no such file.
    """
    lines = sources.Lines()
    if options.udp is not None:
        name = f"UDP port {options.udp}"
        found: Iterator[bytes | None] = sources.datagrams(options.udp, options.host)
        return Source(lambda reader: reader.frames(found), name, True)
    if options.input == "-":
        descriptor = sys.stdin.fileno()
        if os.isatty(descriptor):
            print("frames are read from this terminal, a JSON object a line; Ctrl-D ends", file=sys.stderr)
        flows = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        return Source(lambda reader: reader.frames(sources.piped(descriptor, lines)), "stdin", flows)
    path = Path(options.input)
    if not path.is_file() and not stat.S_ISFIFO(path.stat().st_mode if path.exists() else 0):
        raise UsageError(f"--input {path} is no file" if path.exists() else f"--input {path}: there is no such file")
    follow = options.follow
    return Source(lambda reader: reader.frames(sources.written(path, lines, follow)), str(path), follow)


def run(options: argparse.Namespace) -> int:
    """Until the frames end, or Ctrl-C or SIGTERM do.

    Raises:
        LabError: what the user has to put right.
    """
    wishes, steadiness = _checked(options)
    source = source_of(options)
    from skeleton_lab.inference import predictions  # here: --help and mistakes need no PyTorch
    from skeleton_lab.live import opening
    from skeleton_lab.live.labels import Labels
    from skeleton_lab.live.resampling import Resampled
    from skeleton_lab.live.session import Session

    with opening.network(options) as network, contextlib.ExitStack() as stack:
        asked = opening.asked(network, wishes, options, source.name)
        names = predictions.class_names(network.K, network.ucla, options.classes, network.class_names)
        session = Session(
            asked.evaluator, Labels(steadiness), names, _outlets(options, asked.evaluator.frames, stack),
            every=options.every, skip=source.flows and not options.no_skip, idle=options.idle,
        )  # fmt: skip
        frames = source.frames(asked.reader)
        frames = Resampled(frames, options.resample) if options.resample else frames
        print(_begin(network, asked.evaluator.frames, options, source.name), file=sys.stderr, flush=True)
        with _ended_by_signals():
            session.run(frames)
    _end(session.figures, asked.reader, options)
    return 0
