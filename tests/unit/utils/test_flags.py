"""The scripts' parser: spellings, and mistakes on one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import Parser


def parser() -> Parser:
    made = Parser()
    made.add_argument("--batch-size", type=int)
    made.add_argument("--seq_len", type=int)
    made.add_argument("words", nargs="*")
    return made


@pytest.mark.parametrize(
    "line", ["--batch-size 3 --seq_len 4", "--batch_size 3 --seq-len=4", "--batch_size=3 --seq_len=4"]
)
def test_hyphens_and_underscores_are_the_same(line):
    got = parser().parse_args(line.split())
    assert (got.batch_size, got.seq_len) == (3, 4)


def test_values_are_left_as_they_are():
    assert parser().parse_args(["a_b", "c-d", "--", "--e_f"]).words == ["a_b", "c-d", "--e_f"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--batch-siez 3", "unrecognized arguments: --batch-siez Did you mean '--batch-size'?"),
        ("--batch 3", "unrecognized arguments"),
        ("--batch-size many", "invalid int value: 'many'"),
        ("--batch-size", "expected one argument"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(capsys, line, says):
    assert guarded(lambda: parser().parse_args(line.split())) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1 and says in printed


def test_a_reader_that_stops_early_sees_no_traceback():
    words = "from skeleton_lab.errors import guarded; guarded(lambda: [print(i) for i in range(10**5)] and None)"
    line = f"{sys.executable} -c '{words}' | head -n 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.stdout == "0\n" and done.stderr == ""


def test_help_is_no_failure(capsys):
    assert guarded(lambda: parser().parse_args(["--help"])) == 0
    assert "--batch-size" in capsys.readouterr().out
