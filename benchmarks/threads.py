"""Time a training step with one thread and with two, on a quiet machine and beside two programs that never rest.

    python -m benchmarks.threads --rooms CTR-GCN SkateFormer
    GOMP_SPINCOUNT=300000 python -m benchmarks.threads         # as OpenMP waits when it is left alone

Every round takes a step of each kind, one after the other. Quiet: the least of the rounds, in which the fewest others
disturbed; "others" says how many processors they took meanwhile, 0.0 on a machine that is quiet indeed. Busy: the
median, of wall time; the turning programs are stopped during quiet steps.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from skeleton_lab import registry
from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import Parser, check_sizes

COUNTS = (1, 2)
CLASSES = 60
TURNING = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # not longer than who asked for it


class Took(NamedTuple):
    """One step: seconds of wall and of processor time, and how many processors other programs took meanwhile."""

    wall: float
    processor: float
    others: float


def busy_seconds() -> float:
    """Processor time that this machine has spent since it was started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (sum(map(int, fields[1:4])) + sum(map(int, fields[6:9]))) / os.sysconf("SC_CLK_TCK")


def timed(step: Callable[[], None], spinners: Spinners) -> Took:
    wall, own, all_of_it, turned = time.perf_counter(), time.process_time(), busy_seconds(), spinners.seconds()
    step()
    wall, own = time.perf_counter() - wall, time.process_time() - own
    others = busy_seconds() - all_of_it - own - (spinners.seconds() - turned)
    return Took(wall, own, max(others / wall, 0.0))


class Spinners:
    """Processes that turn in a loop while ``turning``, and are stopped otherwise."""

    def __init__(self, count: int) -> None:
        self.processes = [subprocess.Popen([sys.executable, "-c", TURNING]) for _ in range(count)]
        self._send(signal.SIGSTOP)

    def _send(self, what: signal.Signals) -> None:
        for process in self.processes:
            process.send_signal(what)

    def seconds(self) -> float:
        """Processor time of all of them."""
        stats = [Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split() for process in self.processes]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")

    @contextlib.contextmanager
    def turning(self) -> Iterator[None]:
        self._send(signal.SIGCONT)
        try:
            yield
        finally:
            self._send(signal.SIGSTOP)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def training_step(room: str, batch: int, frames: int) -> Callable[[], None]:
    """A step of ``room``'s published network: forward, loss, backward."""
    import torch

    from skeleton_lab.cost import counting, program
    from skeleton_lab.engine.losses import Criterion

    arguments = argparse.Namespace(
        room=room, config=None, num_class=CLASSES, frames=frames, activation_checkpointing=False, trust_code=False
    )
    torch.manual_seed(0)
    model, model_args = program.build(arguments)
    model.train()
    inputs = counting.example(model_args, batch, frames, 0.0)
    y = torch.arange(batch) % CLASSES

    def step() -> None:
        model.zero_grad()
        output = model(*inputs)
        Criterion(net=model)(output, y).backward()

    return step


def measure(step: Callable[[], None], spinners: Spinners, rounds: int) -> dict[tuple[str, int], list[Took]]:
    """Every step's time, by (quiet or busy, threads)."""
    import torch

    found: dict[tuple[str, int], list[Took]] = {(how, count): [] for how in ("quiet", "busy") for count in COUNTS}
    for number in range(rounds + 1):  # the first warms up
        for how, count in found:
            torch.set_num_threads(count)
            with spinners.turning() if how == "busy" else contextlib.nullcontext():
                took = timed(step, spinners)
            if number:
                found[how, count].append(took)
    return found


def row(room: str, found: dict[tuple[str, int], list[Took]]) -> str:
    cells, walls = [], {}
    for (how, count), times in found.items():
        choose = min if how == "quiet" else median
        walls[how, count] = choose(each.wall for each in times)
        others = min(times).others if how == "quiet" else median(each.others for each in times)
        cells.append(f"{walls[how, count]:7.2f} {choose(each.processor for each in times):7.2f} {others:6.1f}")
    ratios = [f"{walls[how, 2] / walls[how, 1]:6.2f}" for how in ("quiet", "busy")]
    return f"{room:14}" + " |".join([*cells, *ratios])


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rooms = [room.folder for room in registry.ROOMS if room.program]
    parser.add_argument("--rooms", nargs="+", choices=rooms, default=rooms, metavar="ROOM")
    parser.add_argument("--batch", type=int, default=4, help="clips a step (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=64, help="of a clip (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--spinners", type=int, default=2, help="programs that turn (default: %(default)s)")
    given = parser.parse_args()
    check_sizes(given, "batch", "frames", "rounds")
    print(f"load average {os.getloadavg()[0]:.1f}; GOMP_SPINCOUNT={os.environ.get('GOMP_SPINCOUNT', '')}")
    print("seconds: wall, processor; others | quiet, 1 thread, 2 threads | busy, 1, 2 | wall of 2 / of 1: quiet, busy")
    spinners = Spinners(given.spinners)
    try:
        for room in given.rooms:
            step = training_step(room, given.batch, given.frames)
            print(row(room, measure(step, spinners, given.rounds)), flush=True)
    finally:
        spinners.end()
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    sys.exit(guarded(main))
