"""Stands for a room's training where a test is about starting, stopping and resuming: some tens of milliseconds.

It keeps the folder to itself, counts epochs in ``metrics.jsonl``, goes on where it was stopped, and saves on a signal
as the engine does. ``starts`` in the folder has a line for each start: the epoch that it began with. Its accuracy is a
function of seed and epoch, so a table tells whether all epochs were there; with a validation split, it is evaluated on
that, and the learning rate counts. Standard library alone.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

HOLD = int(os.environ.get("FAKE_HOLD", "0"))  # the epoch in which it waits for a signal, unless it begins with that
SECONDS = float(os.environ.get("FAKE_SECONDS", "0"))  # of an epoch


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def accuracy(seed: int, epoch: int, rate: float = 0.0) -> float:
    return round((seed + epoch) / 100 + rate, 4)


def main(words: list[str]) -> int:
    work, seed, epochs = Path(value(words, "--work-dir")), int(value(words, "--seed")), int(value(words, "--num-epoch"))
    work.mkdir(parents=True, exist_ok=True)
    lock = os.open(work / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"error: --work-dir {work}: another run is at work there")
        return 2
    split, rate = ("val", float(value(words, "--base-lr"))) if "--val-split" in words else ("test", 0.0)
    stop: list[int] = []
    for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, lambda number, _: stop.append(number))
    place = work / "last.ckpt"
    done = int(place.read_text()) if place.exists() else 0
    with open(work / "starts", "a") as file:
        file.write(f"{done} {os.environ.get('OMP_NUM_THREADS')}\n")
    if 13 in (seed, rate):
        print("some words\nerror: data/none.npz: there is no such file")
        return 2
    with open(work / "metrics.jsonl", "a") as metrics:
        for epoch in range(done + 1, epochs + 1):
            end = time.monotonic() + (300 if epoch == HOLD > done + 1 else SECONDS)
            while not stop and time.monotonic() < end:
                time.sleep(0.01)
            if stop:
                return 128 + stop[0]
            tested = {"event": "eval", "split": split, "top1": accuracy(seed, epoch, rate)}
            for event in ({"event": "epoch", "seconds": 1.5}, tested):
                metrics.write(json.dumps(event | {"epoch": epoch}) + "\n")
            metrics.flush()
            place.write_text(str(epoch))
        results = {word: {"epoch": epochs, "top1": accuracy(seed, epochs, rate)} for word in ("best", "last")}
        metrics.write(json.dumps({"event": "result", **results}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
