"""``skeleton-lab live ROOM``: names actions while they happen."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.live import flags, sources
from skeleton_lab.live.sources import Frame
from skeleton_lab.utils.atomic import write_atomically

if TYPE_CHECKING:
    from skeleton_lab.inference.keypoints.notices import Notices
    from skeleton_lab.inference.network import Network
    from skeleton_lab.live.evaluator import Evaluator
    from skeleton_lab.live.figures import Delays, Figures
    from skeleton_lab.live.reading import Reader
    from skeleton_lab.live.session import Outlets
    from skeleton_lab.live.view import View


class Source(NamedTuple):
    """Frames, by whoever reads key points; what messages call their source; whether it goes on while nobody takes
    them, so that labels have to be left out where the machine is slow."""

    frames: Callable[[Reader], Iterable[Frame | None]]
    name: str
    flows: bool
    pictures: Delays | None = None  # how long each took to become key points, where they come from pictures


def source_of(options: argparse.Namespace) -> Source:
    """What the flags name.

    Raises:
        UsageError: there is no such file, or the port is taken.
    """
    if options.video is not None or options.camera is not None:
        return _pictures(options)
    lines = sources.Lines()
    if options.udp is not None:
        datagrams = sources.datagrams(options.udp, options.host)
        return Source(lambda reader: reader.frames(datagrams), f"UDP port {options.udp}", True)
    if options.input == "-":
        descriptor = sys.stdin.fileno()
        if os.isatty(descriptor):
            print("frames are read from this terminal, a JSON object a line; Ctrl-D ends", file=sys.stderr)
        flows = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        return Source(lambda reader: reader.frames(sources.piped(descriptor, lines)), "stdin", flows)
    path, follow = Path(options.input), options.follow
    written = sources.written(path, lines, follow)
    return Source(lambda reader: reader.frames(written), str(path), follow)


def _pictures(options: argparse.Namespace) -> Source:
    """Of a video or a camera: their frames become some of a constant rate, by the times that they have."""
    from skeleton_lab.live import video

    poses = video.Poses(options.pose_model, options.det_model, options.detect_every)
    options.resample = options.resample or flags.FPS
    if options.video is not None:
        lines, name = video.of_file(options.video, poses), str(options.video)
    else:
        lines, name = video.of_camera(options.camera, poses), f"camera {options.camera}"
    return Source(lambda reader: reader.frames(lines), name, options.camera is not None, poses.seconds)


def _judge(
    network: Network, wishes: Wishes, options: argparse.Namespace, where: str, notices: Notices
) -> tuple[Reader, Evaluator]:
    """Who reads the frames, and who judges what is in them."""
    from skeleton_lab.inference.clips.joints import Skeletons
    from skeleton_lab.inference.keypoints import normalise
    from skeleton_lab.live.reading import Reader
    from skeleton_lab.skeletons import layouts

    own, told = network.skeleton, wishes.keypoints
    if own is None:
        choose = lambda V, where: normalise.scheme_of(told, V, where)  # noqa: E731
    elif told is not None and layouts.layout(told) != own:
        raise UsageError(f"--keypoints {told}: the network takes {own.name}; leave it out")
    else:
        choose = Skeletons(own, True, told is not None, notices).choose
    least = wishes.least_score if own is None else 0.0  # feeders of such networks look at scores themselves
    reader = Reader(choose, least, options.fps, where, notices)
    config = "--config" if options.config is None else f"--config {options.config}"
    how = {"window": options.window, "people": options.people, "least": options.least, "config": config}
    if options.continual:
        from skeleton_lab.live.frame_by_frame import FrameByFrame

        judge = FrameByFrame(network, reader, wishes, notices, end=options.continual, **how)
        if line := other_rate(network, options.resample or options.fps, options.fps):
            _say(line)
        return reader, judge
    from skeleton_lab.live.windowed import Windowed

    return reader, Windowed(network, reader, wishes, notices, **how)


def other_rate(network: Network, rate: float, fps: float) -> str:
    """Empty, or that --continual's frames, ``rate`` a second, are not as far apart as those of the training's clips.

    Args:
        fps: frames a second of the recordings that it was trained on, as far as anybody knows.
    """
    usual, window = network.usual_length, network.window
    if not usual or not window or 0.8 <= usual / window * rate / fps <= 1.25:
        return ""
    return (
        f"the network was trained on clips of usually {usual} frames, stretched to {window}, and --continual stretches "
        f"none: --resample {fps * window / usual:.3g} makes frames as far apart as those"
    )


def _outlets(options: argparse.Namespace, stack: contextlib.ExitStack, view: View | None) -> Outlets:
    """Files and the screen."""
    from skeleton_lab.live import reading
    from skeleton_lab.live.session import Outlets

    def opened(path: Path) -> IO[str]:
        return stack.enter_context(_opened(path))

    out = opened(options.output) if options.output else None if view else sys.stdout
    record = opened(options.record) if options.record else None

    def label(line: dict) -> None:
        if out is not None:
            with _naming(options.output):
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
                out.flush()
        if view is not None:
            view.label(line)

    def recorded(frame: Frame, asked: bool) -> None:
        if record is not None:
            with _naming(options.record):
                record.write(reading.written(frame, asked))

    return Outlets(label, recorded, view.tick if view is not None else lambda figures: None)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """A text file whose lines are on the disk at once."""
    file = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115  (closing it writes what is left)
    try:
        yield file
    finally:
        with _naming(path):
            file.close()


@contextlib.contextmanager
def _naming(path: Path | None) -> Iterator[None]:
    """Let an error say which file could not be written: one of a full disk does not."""
    try:
        yield
    except OSError as error:
        if path is not None and error.filename is None:
            error.filename = str(path)
        raise


def run(options: argparse.Namespace) -> int:
    """Until the frames end, or a signal ends it.

    Raises:
        LabError: what the user has to put right.
    """
    wishes, steadiness = flags.checked(options)
    source = source_of(options)
    from skeleton_lab.engine.signals import Stop, Stopped
    from skeleton_lab.inference import opening, predictions
    from skeleton_lab.live.labels import Labels
    from skeleton_lab.live.resampling import Resampled
    from skeleton_lab.live.said import Said
    from skeleton_lab.live.session import Session
    from skeleton_lab.live.view import View

    view = View(sys.stderr) if options.view else None
    with opening.opened(options, _say) as network, contextlib.ExitStack() as stack:
        network.runtime.quiet = True
        notices = Said(_say if view is None else view.say)
        reader, judge = _judge(network, wishes, options, source.name, notices)
        names = predictions.class_names(judge.K, network.ucla, options.classes, network.class_names)
        seconds = judge.frames / (options.resample or options.fps)
        temperature = 1.0 if network.calibration is None else network.calibration.temperature
        if network.calibration is not None:
            _say(f"p is calibrated: temperature {temperature:.4g} of {network.calibration.path}")
        session = Session(
            judge, Labels(steadiness, temperature), names, _outlets(options, stack, view), every=options.every,
            recorded=not source.flows, skip=source.flows and not options.no_skip, idle=options.idle,
        )  # fmt: skip
        frames = source.frames(reader)
        resampled = Resampled(frames, options.resample) if options.resample else None
        _say(
            f"{network.options.model} listens to {source.name}: a label every {options.every} frames, of the last "
            f"{judge.frames} ({seconds:.1f} s)"
        )
        with contextlib.suppress(Stopped), Stop():
            session.run(frames if resampled is None else resampled)
    if not session.figures.frames:
        raise UsageError(reader.trouble or f"{source.name}: no frame has come")
    old = reader.old + (0 if resampled is None else resampled.late)
    _end(session.figures, {"unreadable": reader.bad, "too_late": old}, options, source)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _end(figures: Figures, left_out: dict[str, int], options: argparse.Namespace, source: Source) -> None:
    """The figures of the session, in words and, where it is wished, as JSON.

    ``left_out``: how many lines and frames, by the reason.
    """
    told = {**figures.as_json(), **left_out}
    if source.pictures is not None:
        told |= source.pictures.as_ms("picture")
    if options.stats is not None:
        write_atomically(options.stats, lambda file: file.write((json.dumps(told, indent=1) + "\n").encode()))
    kinds = {
        "missing": "missing", "late": "late", "too_late": "too late to be of use", "unreadable": "unreadable",
    }  # fmt: skip
    counts = ", ".join(f"{told[key]} {words}" for key, words in kinds.items() if told[key])
    _say(f"{figures.frames} frames{f' ({counts})' if counts else ''}, {figures.labels} labels")
    if figures.skipped:
        _say(f"{figures.skipped} times a label was left out, because the next one was due; --no-skip waits instead")
    _say(
        f"from a frame to all that follows from it: {told['frame_ms_p50']} ms (p50), {told['frame_ms_p99']} ms (p99); "
        f"with a label {told['label_ms_p50']} and {told['label_ms_p99']} ms; memory {told['mib_begin']} MiB at the "
        f"first frame, {told['mib_end']} at the end"
    )
    if source.pictures is not None:
        _say(f"key points of a picture: {told['picture_ms_p50']} ms (p50), {told['picture_ms_p99']} ms (p99)")


def main(argv: Sequence[str] | None = None) -> int:
    from skeleton_lab.inference.keypoints import normalise

    words = normalise.spelled(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: run(flags.parser().parse_args(words)))
