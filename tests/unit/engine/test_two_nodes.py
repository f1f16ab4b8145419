"""docs/training.md's torchrun on two nodes: two network namespaces of this machine, and a cable between them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toy_room
from places import ROOT

ADDRESSES = {"A": "10.77.0.1", "B": "10.77.0.2"}
DOCUMENTED = {"A": "10.0.0.1", "B": "10.0.0.2"}
COMMANDS = [
    line for line in (ROOT / "docs" / "training.md").read_text("utf-8").splitlines() if " torchrun --nn" in line
]
# Node B's process kills itself once, in the third of eight steps, when two are saved.
LOST = """
import os
from pathlib import Path

from feeders.toy_feeder import Feeder as Toy


class Feeder(Toy):
    def __getitem__(self, i):
        mark = Path("lost")
        if os.environ["NODE"] == "B" and Path("../work/last.ckpt").exists() and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
        return super().__getitem__(i)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def nodes() -> Iterator[dict[str, str]]:
    """Node -> its namespace; skips where this machine does not let us make them."""
    names = {node: f"lab{os.getpid()}{node}" for node in ADDRESSES}
    made = []
    try:
        for name in names.values():
            ip("netns", "add", name)
            made.append(name)
        ip("link", "add", "eth7", "netns", names["A"], "type", "veth", "peer", "name", "eth7", "netns", names["B"])
        for node, name in names.items():
            ip("-n", name, "addr", "add", f"{ADDRESSES[node]}/24", "dev", "eth7")
            for device in ("eth7", "lo"):
                ip("-n", name, "link", "set", device, "up")
    except (OSError, subprocess.CalledProcessError) as error:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)
        pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', None) or error}")
    try:
        yield names
    finally:
        for name in names.values():
            ip("netns", "delete", name)


def start(node: str, namespace: str, room: Path, argv: list[str]) -> subprocess.Popen:
    """The document's command on one node, with this machine's addresses and the toy room's arguments.

    The namespace has no name server, and PyTorch would ask it for a minute: names are in a file of its own.
    """
    (line,) = [each for each in COMMANDS if f"--local-addr {DOCUMENTED[node]} " in each]
    card, _, words = line.replace("10.0.0.", "10.77.0.").replace("=eth0 ", "=eth7 ").partition(" torchrun ")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--monitor-interval", "0.2"]
    torchrun += [*shlex.split(words.partition(" main.py ")[0]), "main.py", *argv]
    inside = ["sh", "-c", 'mount --bind hosts /etc/hosts && exec "$@"', "sh", *torchrun]
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *inside], cwd=room, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=toy_room.environment() | {"NODE": node} | dict([card.split("=")]),
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif("TWO_NODES" not in os.environ, reason="two minutes, and two idle cores: set TWO_NODES=1")
def test_a_process_is_lost_and_both_nodes_go_on(tmp_path):
    """The weights are those of one process with the whole batch: --scale-lr linear makes four clips and 0.05 of it."""
    room = toy_room.make_room(tmp_path / "room")
    (room / "feeders" / "lost.py").write_text(LOST)
    (room / "hosts").write_text("".join(f"{address} node-{node}\n" for node, address in ADDRESSES.items()))
    model = ("--model-args", "norm=False,drop=0.0", "--num-epoch", "4", "--checkpoint-minutes", "0")
    assert toy_room.call(room, toy_room.arguments(tmp_path / "one", *model, train="n=22,noise=0.0")) == 0
    each = ("--batch-size", "4", "--base-lr", "0.05", "--scale-lr", "linear", "--resume")
    argv = toy_room.arguments(
        tmp_path / "work", *model, *each, "--feeder", "feeders.lost.Feeder", train="n=22,noise=0.0"
    )
    with nodes() as names:
        running = [start(node, name, room, argv) for node, name in names.items()]
        try:
            (out, err), (_, lost) = (process.communicate(timeout=400) for process in running)
        finally:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # torchrun's own processes too
    assert [process.returncode for process in running] == [0, 0], (err, lost)
    assert (room / "lost").exists(), "the process was killed"
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and "another process of this run ended" in told[0] and "--resume" in told[0], err
    assert "Effective batch: 8 clips a step in 2 processes, base learning rate 0.1: --scale-lr linear" in out
    assert out.count("Resuming ") == 1 and "Traceback" not in err
    one, two = (toy_room.weights(tmp_path / work / "runs-4-8.pt") for work in ("one", "work"))
    for name, value in one.items():
        np.testing.assert_allclose(two[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-6)
