"""kill -9 at random moments, then --resume: weights and logged losses must be those of the unbroken run, bit for bit.

    python tests/helpers/kill_many.py --kills 60 --seed 1

Tiny trainings of four rooms on synthetic archives, on the CPU; a run is killed up to three times before it may end.
Not collected by pytest: sixty kills take some minutes. Exit code 1 and the folder of the run where one differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from places import TESTS

sys.path.append(str(TESTS))  # where the folder ``parity`` is

from tiny_data import make_all

from skeleton_lab import registry
from skeleton_lab.engine import run
from skeleton_lab.utils.cli import Parser

EPOCHS, MOST = 3, 3  # epochs of a run, kills of it
COMMON = (
    f"--num-epoch {EPOCHS} --batch-size 4 --test-batch-size 8 --device cpu --report False --seed 3 --save-interval 1 "
    "--eval-interval 1 --weight-decay 0.0005"
)
SHORT = "--train-feeder-args window_size=16 --test-feeder-args window_size=16"
NTU = "--train-feeder-args data_path={data}/NTU60_CS.npz --test-feeder-args data_path={data}/NTU60_CS.npz"
NPY = " ".join(
    f"--{split}-feeder-args data_path={{data}}/NTU-RGB-D/xsub/{part}_data.npy,"
    f"label_path={{data}}/NTU-RGB-D/xsub/{part}_label.pkl"
    for split, part in (("train", "train"), ("test", "val"))
)
LINES = {
    "CTR-GCN": f"--config config/nturgbd-cross-subject/default.yaml {NTU} {SHORT} --save-epoch 0",
    "SkateFormer": f"--config config/train/ntu_cs/SkateFormer_j_tiny.yaml {NTU} --save-epoch 0",
    "ST-GCN": f"recognition --config config/st_gcn/ntu-xsub/train.yaml {NPY}",
    "Hyper-GCN": f"--config config/base/nturgbd-cross-subject/hyper_joint.yaml {NTU} {SHORT} --save-epoch 0",
}


class Trainer:
    """Trainings of one room in child processes."""

    def __init__(self, room: registry.Room, root: Path) -> None:
        self.room, self.root = room, root
        self.line = f"{LINES[room.folder].format(data=root / 'data')} {COMMON}".split()

    def start(self, work: Path, *more: str) -> int:
        """The process id of a child that trains; what it says goes to ``work.log``."""
        child = os.fork()
        if child:
            return child
        log = os.open(f"{work}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(self.room.path)
        torch.set_num_threads(1)
        with registry.room(self.room.folder):
            code = run(self.room.recipe, str(self.room.path / "main.py"), [*self.line, "--work-dir", str(work), *more])
        os._exit(code)

    def finish(self, child: int) -> None:
        _, status = os.waitpid(child, 0)
        if status:
            raise SystemExit(f"{self.room.folder}: a run ended with {os.waitstatus_to_exitcode(status)}: {self.root}")

    def killed(self, child: int, after: float) -> bool:
        """Kill the child after so many seconds; False if it was done before."""
        end = time.monotonic() + after
        while time.monotonic() < end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                if status:
                    raise SystemExit(f"{self.room.folder}: a run failed by itself: {self.root}")
                return False
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def outcome(work: Path) -> dict:
    """What must be equal: all weights, the optimizer, the best epoch, the losses that were logged."""
    last = torch.load(work / "last.ckpt", weights_only=True)
    weights = {str(p.relative_to(work)): torch.load(p, weights_only=True) for p in sorted(work.glob("**/*.pt"))}
    events = map(json.loads, (work / "metrics.jsonl").read_text().splitlines())
    losses = [(e["event"], e["epoch"], e["loss"]) for e in events if e["event"] in ("epoch", "eval")]
    state = {name: last["state"][name] for name in ("epoch", "step", "best", "last")}
    return {"model": last["model"], "optimizer": last["optimizer"], "state": state, "files": weights, "losses": losses}


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def torture(trainer: Trainer, kills: int, rng: random.Random) -> tuple[int, list[Path]]:
    """At least ``kills`` kills; how many there were, and the folders of runs that ended otherwise than the unbroken."""
    name, folder = trainer.room.folder, trainer.root / trainer.room.folder
    folder.mkdir()
    begun = time.monotonic()
    trainer.finish(trainer.start(folder / "unbroken", "--num-worker", "0"))
    seconds, expected = time.monotonic() - begun, outcome(folder / "unbroken")
    print(f"{name}: unbroken in {seconds:.1f} s", flush=True)
    done, runs, different = 0, 0, []
    while done < kills:
        runs += 1
        work, moments = folder / f"run{runs}", []
        flags = ("--num-worker", str(rng.randrange(2)), "--checkpoint-minutes", rng.choice(("0", "0.002", "0.02")))
        for _ in range(min(rng.randint(1, MOST), kills - done)):
            moment = rng.uniform(0, seconds)
            if not trainer.killed(trainer.start(work, "--resume", *flags), moment):
                break
            moments.append(moment)
        trainer.finish(trainer.start(work, "--resume", *flags))
        done += len(moments)
        equal = same(outcome(work), expected)
        different += [] if equal else [work]
        told = ", ".join(f"{moment:.2f}" for moment in moments) or "none"
        print(
            f"{name}: run {runs}, killed after {told} s: {'equal' if equal else 'DIFFERENT'}; {done}/{kills}",
            flush=True,
        )
    return done, different


def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="in all, the same number in each room (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument("--rooms", nargs="+", default=list(LINES), choices=list(LINES), help="these rooms only")
    options = parser.parse_args(argv)
    root = make_all(Path(tempfile.mkdtemp(prefix="kill_many_")))
    each, total, different = -(-options.kills // len(options.rooms)), 0, []
    for name in options.rooms:
        rng = random.Random(f"{options.seed} {name}")
        kills, wrong = torture(Trainer(registry.find(name), root), each, rng)
        total, different = total + kills, different + wrong
    for work in different:
        print(f"different: {work}")
    print(f"{total} kills in {len(options.rooms)} rooms: {'not all equal' if different else 'all bit-equal'}")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
