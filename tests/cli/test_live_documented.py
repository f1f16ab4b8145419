"""The commands of docs/live.md, in their order and word by word; flags behind them end the ones that go on."""

from __future__ import annotations

import json
import os
import shlex
import socket
import threading
from types import SimpleNamespace

import pytest
from live_sessions import dancers, lines, network
from places import ROOT

from skeleton_lab import cli
from skeleton_lab.live.session import Session

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs" / "live.md").read_text("utf-8")
COMMANDS = [line for line in TEXT.splitlines() if "skeleton-lab live stgcn " in line]


def test_every_command_does_what_the_document_says(tmp_path, monkeypatch, capsys):
    (tmp_path / "run").mkdir()
    network(tmp_path / "run", frames=12).weights.rename(tmp_path / "run" / "epoch80_model.pt")
    monkeypatch.chdir(tmp_path)
    frames = "".join(lines(dancers(20)))
    (tmp_path / "frames.jsonl").write_text(frames)
    out, into = os.pipe()
    os.write(into, frames.encode())
    os.close(into)
    begin = Session.run

    def run(self: Session, found) -> None:
        threading.Thread(target=send, args=(frames,)).start()
        begin(self, found)

    monkeypatch.setattr(Session, "run", run)
    assert len(COMMANDS) == 5
    said = []
    for command in COMMANDS:
        feeding, _, plain = command.rpartition("| ")
        monkeypatch.setattr("sys.stdin", SimpleNamespace(fileno=(lambda: out) if feeding else None))
        more = ["--idle", "0.4"] if "--idle" in plain else []
        assert cli.main([*shlex.split(plain)[1:], *more, "--no-skip"]) == 0, command
        said.append(capsys.readouterr())
    os.close(out)
    assert [[json.loads(line)["frame"] for line in each.out.splitlines()] for each in said] == [
        [9, 19],
        [9, 19],
        [],
        [],
        [],
    ]
    assert (
        said[0].out == said[1].out == (tmp_path / "labels.jsonl").read_text() == (tmp_path / "again.jsonl").read_text()
    )
    assert "person 0: " in said[2].err and "20 frames, 2 labels" in said[2].err
    documented = json.loads(next(line for line in TEXT.splitlines() if '"top5"' in line).replace(", ...", ""))
    assert list(json.loads(said[0].out.splitlines()[0])) == list(documented)


def send(frames: str) -> None:
    """To the documented port, whether somebody listens there or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(frames.encode(), ("127.0.0.1", 5005))
