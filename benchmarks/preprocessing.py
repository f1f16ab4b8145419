"""How fast recordings are converted here, and in how much memory.

    python -m benchmarks.preprocessing --files 5000 --n-cores 2

generates recordings in a temporary folder, converts them with ``dataset_tools/prepare.py``'s command in a process of
its own, and prints files per second, from start to the last file, and the most memory of all its processes together.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from skeleton_lab.data.preprocessing.pipelines import PIPELINES
from skeleton_lab.data.synthetic.skeleton_files import write
from skeleton_lab.errors import LabError, guarded
from skeleton_lab.utils.cli import Parser

COMMAND = "from skeleton_lab.data.preprocessing.programs import prepare; raise SystemExit(prepare())"
PAUSE = 0.1  # seconds between two looks at the memory


class Figures(NamedTuple):
    files: int
    megabytes: float  # of recordings
    seconds: float
    processor: float  # seconds, of all processes
    resident: float  # MB, of all processes together; pages that they share count once for each


def measure(recordings: Path, out: Path, pipeline: str, cores: int) -> Figures:
    """Convert the folder ``recordings``.

    Raises:
        LabError: the conversion failed.
    """
    files = list(recordings.iterdir())
    size = sum(path.stat().st_size for path in files) / 1e6
    flags = ["ntu60", "--pipeline", pipeline, "--raw", str(recordings), "--out", str(out), "--n_cores", str(cores)]
    begun, peak, processor = time.perf_counter(), 0.0, {}
    with subprocess.Popen([sys.executable, "-c", COMMAND, *flags, "--quiet"]) as child:
        top = psutil.Process(child.pid)
        while child.poll() is None:
            resident = 0.0
            for process in _family(top):
                try:
                    resident += process.memory_info().rss / 1e6
                    processor[process.pid] = sum(process.cpu_times()[:2])
                except psutil.Error:  # ended meanwhile
                    continue
            peak = max(peak, resident)
            time.sleep(PAUSE)
    if child.returncode:
        raise LabError(f"the conversion of {recordings} failed with exit code {child.returncode}")
    return Figures(len(files), size, time.perf_counter() - begun, sum(processor.values()), peak)


def _family(top: psutil.Process) -> list[psutil.Process]:
    try:
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m benchmarks.preprocessing", description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=1000, metavar="N")
    parser.add_argument("--pipeline", choices=tuple(PIPELINES), default="ctrgcn")
    parser.add_argument("--n-cores", "--n_cores", type=int, default=2, metavar="N")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where the temporary folder goes: the disk to measure"
    )
    args = parser.parse_args(argv)

    def work() -> None:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            write(Path(folder, "raw"), args.files)
            figures = measure(Path(folder, "raw"), Path(folder, "out"), args.pipeline, args.n_cores)
        print(
            f"{args.pipeline}: {figures.files} files of {figures.megabytes:.0f} MB in {figures.seconds:.1f} s,"
            f" {figures.files / figures.seconds:.0f} files/s; {figures.processor:.1f} s of processor time;"
            f" at most {figures.resident:.0f} MB in memory"
        )

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
