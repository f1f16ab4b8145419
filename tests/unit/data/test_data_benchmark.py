"""``python -m benchmarks.data_loading``: its lines, and mistakes."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks import data_loading
from skeleton_lab.data.synthetic import archive as synthetic
from skeleton_lab.errors import guarded


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("fed") / "a.npz"
    synthetic.write(path, train=12, test=4, classes=4, frames=40, progress=False)
    return path


def run(monkeypatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, words)])
    return guarded(data_loading.main)


def test_lines(archive, monkeypatch, capsys):
    assert not run(monkeypatch, "--data-path", archive, "--room", "SkateFormer", "--batch-size", 4, "--batches", 2)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"first batch, from opening the archive: \d+\.\d+ s", lines[0])
    assert [line.split(":")[0] for line in lines[1:]] == [
        "per sample at first touch", "per sample later", "peak memory without mapped files",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--room", "FS-VAE"], "--room FS-VAE"),
        (["--config", "nope.yaml"], "nope.yaml"),
        (["--config", "config/nturgbd-cross-subject"], "is a folder"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--batches", "0"], "--batches must be at least 1"),
        (["--threads", "0"], "--threads must be at least 1"),
    ],
)
def test_mistakes_are_one_line(words, told, archive, monkeypatch, capsys):
    assert run(monkeypatch, "--data-path", archive, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and told in error
