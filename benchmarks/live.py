"""How ``skeleton-lab live`` keeps up: ``python -m benchmarks.live``, two synthetic people through a pipe.

Frames are written when they are due, 30 a second, as a camera makes them; one that the pipe has no room for is dropped.
The network is untrained, of the room's configuration. "in time" is the share of labels that were not left out because
the next one was due; "behind" the delay from a frame with a label to the label; "processor" the share of one core that
the program took while frames came, which other programs on the machine do not change.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from skeleton_lab import registry
from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.synthetic import archive
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.importing import import_class

FPS = 30
SMALLEST = {  # the smallest configuration of each room, where that is not the one that stands for it
    "FreqMixFormer": "config/nturgbd-cross-subject/joint_lowmem.yaml",
    "SkateFormer": "config/train/ntu_cs/SkateFormer_j_tiny.yaml",
}
ALL = tuple(room.folder for room in registry.ROOMS if room.program is not None)
CLIPS = 40  # that are played one after the other, again and again
APART = 0.8  # metres of each person from the middle


def lines(folder: Path) -> list[list[bytes]]:
    """Of each of two people the frames of ``CLIPS`` synthetic clips of one person, as JSON: what stands in a line."""
    path = folder / "people.npz"
    archive.write(path, train=1, test=2 * CLIPS, classes=12, two_person_share=0.0, progress=False)
    clips = both_splits.open_source(path, split="test")["test"]
    people: list[list[bytes]] = [[], []]
    for row in range(len(clips)):
        length = int(clips.lengths(np.array([row]))[1][0])
        clip = clips.gather(np.array([row]), np.arange(length)[None])[0][:, 0]  # (T, V, 3)
        who = row % 2
        moved = (clip + np.array([(-APART, APART)[who], 0, 0])).round(4).tolist()
        people[who] += [json.dumps({"id": who, "keypoints": body}).encode() for body in moved]
    return people


def frames(people: list[list[bytes]], count: int) -> Iterator[bytes]:
    for n in range(count):
        both = b", ".join(body[n % len(body)] for body in people)
        yield b'{"frame": %d, "time": %.4f, "people": [%s]}\n' % (n, n / FPS, both)


def weights(name: str, folder: Path) -> tuple[Path, Path]:
    """Configuration and untrained weights of a room."""
    import torch  # --help needs none

    room = registry.find(name)
    config = room.path / SMALLEST.get(room.folder, str(room.config))
    given = yaml.safe_load(config.read_text())
    torch.manual_seed(0)
    path = folder / f"{room.image}.pt"
    with registry.room(room.folder):
        torch.save(import_class(given["model"])(**given["model_args"]).state_dict(), path)
    return config, path


def session(name: str, people: list[list[bytes]], given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Figures of a session of ``given.minutes``.

    Raises:
        LabError: the program failed.
    """
    config, path = weights(name, folder)
    stats = folder / "stats.json"
    command = [
        sys.executable, "-m", "skeleton_lab", "live", name, "--weights", path, "--config", config,
        "--keypoints", "ntu25", "--every", given.every, "--stats", stats, "--output", os.devnull,
        "--device", given.device,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": str(given.cores)}
    count = round(60 * given.minutes * FPS)
    with subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as live:
        assert live.stdin is not None and live.stderr is not None
        begin = live.stderr.readline()  # it listens
        dropped = _feed(live.stdin.fileno(), frames(people, count), count, FPS * given.speed, name)
        live.stdin.close()
        rest = live.stderr.read()
        if live.wait():
            raise LabError(f"{name}: {(begin + rest).decode().strip()[-300:]}")
    return json.loads(stats.read_text()) | {"dropped": dropped, "room": name, "config": config.name}


def _feed(pipe: int, made: Iterator[bytes], count: int, rate: float, title: str) -> int:
    """Write lines when they are due; how many the pipe had no room for."""
    os.set_blocking(pipe, False)
    dropped, begun = 0, time.monotonic()
    for n, line in enumerate(tqdm(made, title, count, unit="frame", leave=False, disable=None)):
        if (left := begun + n / rate - time.monotonic()) > 0:
            time.sleep(left)
        try:
            os.write(pipe, line)  # shorter than PIPE_BUF: all or nothing
        except BlockingIOError:
            dropped += 1
    return dropped


def row(told: dict[str, Any], given: argparse.Namespace) -> str:
    moments = told["labels"] // 2 + told["skipped"]
    seconds = 60 * given.minutes / given.speed
    cells = [
        f"{told['room']} ({told['config']})", told["frames"], told["dropped"], told["labels"],
        f"{100 * (1 - told['skipped'] / max(moments, 1)):.0f} %",
        f"{told['frame_ms_p50']:.1f}, {told['frame_ms_p99']:.0f}",
        f"{told['label_ms_p50']:.0f}, {told['label_ms_p99']:.0f}",
        f"{told['cpu_s'] / seconds:.2f}", f"{told['mib_begin']:.0f}, {told['mib_end']:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def run(given: argparse.Namespace) -> int:
    rooms = ALL if given.rooms == ["all"] else [registry.find(name).folder for name in given.rooms]
    if not 0 < given.minutes <= 10_000 or not 0 < given.speed <= 100:
        raise UsageError("--minutes must be above 0, --speed above 0 and at most 100")
    print("| room | frames | dropped | labels | in time | a frame, ms (p50, p99) | behind, ms (p50, p99) | processor | "
          "MiB at the first frame, at the end |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        people = lines(Path(name))
        for room in rooms:
            print(row(session(room, people, given, Path(name)), given), flush=True)
    return 0


def main() -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rooms", nargs="+", default=["CTR-GCN"], metavar="ROOM", help="rooms, or all (default: CTR-GCN)")
    add("--minutes", type=float, default=10, help="of 30 frames a second (default: %(default)s)")
    add("--speed", type=float, default=1, help="times faster than real time (default: %(default)s)")
    add("--every", type=int, default=10, help="frames from label to label (default: %(default)s)")
    add("--cores", type=int, default=2, help="threads of PyTorch (default: %(default)s)")
    add("--device", default="cpu", help="as of live (default: %(default)s)")
    return guarded(lambda: run(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
