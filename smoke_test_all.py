"""Runs the smoke test of every image (``NAME.docker`` in this folder) in a container: does each of them work here?

    python3 smoke_test_all.py                        # all, on the CPU
    python3 smoke_test_all.py --use-gpus             # all, on the first GPU
    python3 smoke_test_all.py --only ctrgcn          # one

Needs nothing but Python and Docker.  Build the images first (build_all_images.sh), and again after a change.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NOT_STARTED = 125  # of docker run: the container could not be made or started
HYPER_DATA = "/workspace/Hyper-GCN/data/NTU60_CS.npz"


@dataclass(frozen=True)
class Room:
    """One image, and how its smoke test is run."""

    image: str  # skeleton-lab:ctrgcn
    name: str  # CTR-GCN: the last part of the working directory
    workdir: str  # /workspace/CTR-GCN

    @classmethod
    def of(cls, dockerfile: Path) -> Room:
        workdirs = re.findall(r"^WORKDIR\s+(\S+)", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
        if not workdirs:
            raise SystemExit(f"error: {dockerfile} names no WORKDIR, the folder of its smoke_test.py")
        name = workdirs[-1].rstrip("/").rpartition("/")[2]
        return cls(f"skeleton-lab:{dockerfile.stem}", name[0].upper() + name[1:], workdirs[-1])

    def command(self, options: argparse.Namespace) -> list[str]:
        """The whole ``docker run``.  No shell: a login shell would reset PATH and lose the image's Python."""
        docker = ["docker", "run", "--rm", "--shm-size=8g", "--workdir", self.workdir]
        if options.use_gpus:
            docker += ["--gpus", "all"]
        test = ["python", "smoke_test.py", "--device", options.device]
        if self.name == "Hyper-GCN":
            test[1] = "smoke_test_kaggle.py"
            test += ["--window-size", str(options.hyper_window)]
            if options.hyper_data:
                docker += ["--mount", f"type=bind,source={options.hyper_data},target={HYPER_DATA},readonly"]
                test += ["--data-path", HYPER_DATA]
            else:
                test.append("--use-synthetic")
        return [*docker, self.image, *test]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these images alone, for example: ctrgcn msg3d")
    parser.add_argument("--device", help="cpu, cuda:N ... (default: cuda:0 with --use-gpus, else cpu)")
    parser.add_argument("--use-gpus", action="store_true", help="give the containers the GPUs (docker run --gpus all)")
    parser.add_argument("--hyper-data", type=Path, metavar="FILE", help="Kaggle file for Hyper-GCN (default: none)")
    parser.add_argument("--hyper-window", type=int, default=32, metavar="T", help="frames for Hyper-GCN (default: 32)")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first failure")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for one image (default: 600)")
    options = parser.parse_args(argv)
    options.device = options.device or ("cuda:0" if options.use_gpus else "cpu")
    if options.hyper_data:
        if not options.hyper_data.is_file():
            parser.error(f"--hyper-data {options.hyper_data}: there is no such file")
        options.hyper_data = options.hyper_data.resolve()
    return options


def find_rooms(only: list[str] | None) -> list[Room]:
    known = {path.stem: path for path in sorted(ROOT.glob("*.docker"))}
    if not known:
        raise SystemExit(f"error: there is no *.docker file in {ROOT}")
    for name in only or ():
        if name not in known:
            print(f"error: there is no image '{name}' (known: {', '.join(known)})", file=sys.stderr)
            raise SystemExit(2)
    return [Room.of(known[name]) for name in (only or known)]


def check_engine() -> None:
    """End the program with one line if containers cannot be run at all."""
    problem = None
    if shutil.which("docker") is None:
        problem = "docker is not installed, or not on PATH"
    elif subprocess.run(["docker", "info"], capture_output=True).returncode:
        problem = "no Docker engine answers: start it, or ask for the right to use it (docker info says more)"
    if problem:
        raise SystemExit(f"error: {problem}")


def check_gpus(said: str) -> None:
    """End the program with one line if what ``docker run`` said is that it cannot give containers a GPU."""
    for line in said.splitlines():
        if re.search(r"device driver|nvidia|cdi |runtime", line, re.IGNORECASE):
            raise SystemExit(
                "error: --use-gpus: Docker has no NVIDIA runtime here: install the NVIDIA Container Toolkit, or leave "
                f"the flag out ({line.removeprefix('docker: ').strip()})"
            )


def run(room: Room, options: argparse.Namespace) -> tuple[bool, str]:
    """Runs one smoke test.  Returns whether it passed, and what to show."""
    tag = room.image.partition(":")[2]
    if subprocess.run(["docker", "image", "inspect", room.image], capture_output=True).returncode:
        return False, f"The image {room.image} is missing: bash build_all_images.sh --only {tag}"
    container = f"skeleton-lab-smoke-{tag}-{time.time_ns()}"
    command = room.command(options)
    command[2:2] = ["--name", container]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=options.timeout)
    except subprocess.TimeoutExpired:
        subprocess.run(["docker", "kill", container], capture_output=True)  # the client is gone, the container is not
        return False, f"No end after {options.timeout:g} seconds."
    if options.use_gpus and done.returncode == NOT_STARTED:
        check_gpus(done.stderr)
    return done.returncode == 0, done.stdout + (done.stderr if done.returncode else "")


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    rooms = find_rooms(options.only)
    check_engine()
    print(f"Running {len(rooms)} smoke test{'s' * (len(rooms) != 1)} in Docker...", flush=True)
    failed = []
    for number, room in enumerate(rooms, 1):
        started = time.monotonic()
        passed, output = run(room, options)
        seconds = time.monotonic() - started
        print(f"[{number}/{len(rooms)}] {room.name} {'OK' if passed else 'FAIL'} ({seconds:.1f}s)")
        print(output.rstrip(), flush=True)
        if not passed:
            failed.append(room.name)
            if options.fail_fast:
                break
    if failed:
        print(f"Failed: {', '.join(failed)}")
        print("Rebuild the images after a change: bash build_all_images.sh")
        return 1
    print("All smoke tests passed.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
