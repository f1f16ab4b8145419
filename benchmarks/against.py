"""Time this checkout against another one: training step and inference of the rooms' networks on the CPU, interleaved.

    python -m benchmarks.against --checkout ../other [--room CTR-GCN] [--rounds 5]

Each checkout runs in a process of its own, with its own ``.venv`` where it has one; the two take turns, so that a busy
machine slows both.  Seconds are processor time of one core.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOMS = ("CTR-GCN", "MS-G3D", "FreqMixFormer", "SkateFormer", "Hyper-GCN", "ST-GCN")
# (training, clips, share of them with one person)
TASKS = {
    "step, batch 8": (True, 8, 0.0),
    "step, 6 of 8 clips of one person": (True, 8, 0.75),
    "inference, batch 1": (False, 1, 0.0),
    "inference, batch 16": (False, 16, 0.0),
}
# What a process runs; it must go in either checkout, so it asks for what both have.
CHILD = """
import argparse, sys, time, torch
try:
    from skeleton_lab.cost.program import build
    from skeleton_lab.cost.counting import example
except ImportError:  # an earlier layout
    from skeleton_lab.cost import build, example
room, frames, training = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
clips, single = int(sys.argv[4]), sys.argv[5]
torch.set_num_threads(1)
torch.manual_seed(0)
model, model_args = build(argparse.Namespace(
    room=room, config=None, num_class=60, frames=frames, activation_checkpointing=False, trust_code=False))
model.train(training)
x, y = example(model_args, clips, frames, float(single)), torch.arange(clips)
def once():
    start = time.process_time()
    with torch.set_grad_enabled(training):
        model.zero_grad()
        output = model(*x)
        if training:
            torch.nn.functional.cross_entropy(output[0] if isinstance(output, tuple) else output, y).backward()
    return time.process_time() - start
once()
print("ready", flush=True)
for _ in sys.stdin:
    print(once(), flush=True)
"""


def start(checkout: Path, room: str, frames: int, task: tuple[bool, int, float]) -> subprocess.Popen[str]:
    """A process that runs the task once for each line it gets and answers with the seconds; it has warmed up."""
    own = checkout / ".venv" / "bin" / "python"
    command = [str(own) if own.is_file() else sys.executable, "-c", CHILD, room, str(frames), *map(str, task)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    child = subprocess.Popen(command, cwd=checkout, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answer(child)
    return child


def answer(child: subprocess.Popen[str]) -> str:
    """The next line of a process.

    Raises:
        SystemExit: it has ended; it has said why.
    """
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"{child.args[0]} ended with code {child.wait()}")
    return line


def compare(checkouts: list[Path], room: str, frames: int, task: tuple[bool, int, float], rounds: int):
    """Seconds of each round, one list for each checkout."""
    children: list[subprocess.Popen[str]] = []
    try:
        for checkout in checkouts:
            children.append(start(checkout, room, frames, task))
        times: list[list[float]] = [[] for _ in children]
        for _ in range(rounds):
            for child, found in zip(children, times):
                child.stdin.write("\n")
                child.stdin.flush()
                found.append(float(answer(child)))
        return times
    finally:
        for child in children:
            child.kill()
            child.wait()


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__.split("\n")[0])
    options.add_argument("--checkout", type=Path, required=True, help="folder of the other one")
    options.add_argument("--room", action="append", choices=ROOMS, help="default: all")
    options.add_argument("--task", action="append", choices=tuple(TASKS), help="default: all")
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    other = arguments.checkout.resolve()
    if not (other / "skeleton_lab").is_dir():
        options.error(f"--checkout: there is no skeleton_lab in {other}")
    for name in arguments.task or TASKS:
        print(
            f"{name}\n{'room':14} {'other: min':>11} {'median':>8} {'here: min':>11} {'median':>8}  times as fast (min)"
        )
        ratios = []
        for room in arguments.room or ROOMS:
            there, here = compare([other, HERE], room, arguments.frames, TASKS[name], arguments.rounds)
            ratios.append(min(there) / min(here))
            print(f"{room:14} {min(there):11.3f} {statistics.median(there):8.3f} {min(here):11.3f}"
                  f" {statistics.median(here):8.3f} {ratios[-1]:8.2f}", flush=True)  # fmt: skip
        print(f"geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):51.2f}\n", flush=True)


if __name__ == "__main__":
    main()
