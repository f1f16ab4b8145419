"""Recordings that nobody recorded: synthetic people as ``.skeleton`` files, for tests and for measuring.

python -m skeleton_lab.data.synthetic.skeleton_files --out recordings --files 600
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.ntu_protocol import all_names
from skeleton_lab.data.synthetic.actions import chosen
from skeleton_lab.data.synthetic.recorder import Recorder
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.progress import clip_bar

IDS = 72_057_594_037_900_000  # near 2**56, like those of the sensor
DISTANCE = np.array([0, 0, 3], np.float32)  # metres to the camera
FRAMES = 300


def write(out: Path, files: int, *, distinct: int = 120, seed: int = 0, show: bool = True) -> list[Path]:
    """``files`` recordings with names of NTU RGB+D 60, spread over its setups, performers and cameras.

    ``distinct`` different ones are made, of about 80 frames and up to two people, and written again and again under
    other names: the actions of the names are not shown.

    Raises:
        UsageError: more files than names, or the folder cannot be written.
    """
    names = all_names("ntu60")
    if not 0 < files <= len(names):
        raise UsageError(f"files must be a number from 1 to {len(names)}, not {files}")
    step = len(names) / files
    picked = [names[int(i * step)] for i in range(files)]
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        with clip_bar(files, "generating recordings", show=show) as bar:
            for k, text in enumerate(_texts(min(distinct, files), seed)):
                for name in picked[k::distinct]:
                    paths.append(out / f"{name}.skeleton")
                    paths[-1].write_bytes(text)
                    bar.update()
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from error
    return sorted(paths)


def _texts(count: int, seed: int) -> Iterator[bytes]:
    recorder = Recorder(seed, "train", chosen(10, 0.2), FRAMES)
    clip = np.empty((1, FRAMES, 150), np.float32)
    for k in range(count):
        recorder.record(np.array([k]), clip)
        rows = clip[0].reshape(FRAMES, 2, 25, 3)
        there = rows.any(axis=(2, 3))  # (T, M)
        frames = int(np.flatnonzero(there.any(axis=1))[-1]) + 1
        yield text(rows[:frames] + DISTANCE, there[:frames], k)


def text(joints: np.ndarray, there: np.ndarray, number: int = 0) -> bytes:
    """The text of one recording: joints (T, M, 25, 3) in metres, who is there (T, M), and a number for the ids."""
    random = np.random.default_rng(number)
    lines = [str(len(joints))]
    fields = np.zeros((25, 12))
    for frame, present in zip(joints, there):
        lines.append(str(np.count_nonzero(present)))
        for m in np.flatnonzero(present):
            lean = " ".join(f"{value:.7g}" for value in random.uniform(-0.2, 0.2, 2))
            lines += [f"{IDS + 100 * number + int(m)} 0 1 1 1 1 0 {lean} 2", "25"]
            x, y, z = fields[:, :3].T[:] = frame[m].T
            fields[:, 3], fields[:, 4] = 256 + 365 * x / z, 212 - 365 * y / z
            fields[:, 5], fields[:, 6] = 960 + 1055 * x / z, 540 - 1055 * y / z
            fields[:, 7:11] = random.uniform(-1, 1, (25, 4))
            fields[:, 11] = 2
            lines += [_LINE % tuple(row) for row in fields.tolist()]
    return "\r\n".join([*lines, ""]).encode()


_LINE = " ".join(["%.7g"] * 12)


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m skeleton_lab.data.synthetic.skeleton_files", description="Write .skeleton files.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--files", type=int, required=True, metavar="N")
    parser.add_argument("--distinct", type=int, default=120, metavar="K", help="different ones; the others repeat them")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    return guarded(lambda: print(f"wrote {len(_write(args))} files to {args.out}"))


def _write(args: argparse.Namespace) -> list[Path]:
    return write(args.out, args.files, distinct=max(args.distinct, 1), seed=args.seed)


if __name__ == "__main__":
    sys.exit(main())
