"""``--corrupt`` in a test phase, its table, and what compares and reports it."""

from __future__ import annotations

import csv
import json
import re
import shlex
from argparse import Namespace
from pathlib import Path

import fake_run as fake
import numpy as np
import pytest
from places import ROOT
from sandbox import Lab
from tiny_data import make_all

from skeleton_lab import cli
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.corruption_kinds import KINDS
from skeleton_lab.engine import final_test, tables
from skeleton_lab.engine import robustness as program
from skeleton_lab.engine.signals import Stopped
from skeleton_lab.errors import UsageError
from skeleton_lab.reporting import run_report
from skeleton_lab.reporting.run_report import robustness

CONFIG = "config/nturgbd-cross-subject/default.yaml"
SMALL = "--device cpu --num-worker 0 --test-batch-size 8 --test-feeder-args window_size=8"
COLOURS = ((0, 114, 178), (196, 78, 0))  # of the first and the second run


BLOCKS = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "robustness.md").read_text(), re.M | re.S)


def documented(word: str) -> str:
    """The line of docs/robustness.md that begins with ``word``, without it."""
    (line,) = [line for block in BLOCKS for line in block.splitlines() if line.startswith(word)]
    return line.removeprefix(word)


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    return Lab(make_all(tmp_path), monkeypatch)


@pytest.mark.slow
def test_a_test_phase_measures_corrupted_clips(lab, capsys, monkeypatch):
    monkeypatch.setattr(run_report, "_plots", lambda *_: None)  # they take their time
    line = f"{documented('python main.py')} {SMALL}"
    lab.weights("CTR-GCN", CONFIG, lab.root / "work_dir" / "ctrgcn_ntu60_xsub_joint" / "runs-65-40690.pt")
    assert line.count("all") == 1
    assert lab("CTR-GCN", line.replace("all", "view:5 joints:1 joints:5")) == 0
    out = lab.root / "work_dir" / "ctrgcn_corrupted"
    with open(out / "robustness.csv") as file:
        rows = list(csv.DictReader(file))
    told = [(row["corruption"], row["severity"], row["amount"], row["clips"]) for row in rows]
    assert told == [("none", "0", "0", "8"), ("joints", "1", "0.1", "8"), ("joints", "5", "0.5", "8"),
                    ("view", "5", "90", "8")]  # fmt: skip
    events = [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]
    tested = next(event for event in events if event["event"] == "eval")
    losses = [float(row["loss"]) for row in rows]
    assert losses[0] == tested["loss"] and len(set(losses)) == 4
    assert [event["loss"] for event in events if event["event"] == "robustness"] == losses[1:]
    printed = capsys.readouterr().out
    assert "Corrupted,   view:5 (view turned: 90°): Top1" in printed and "No robustness.png" not in printed
    assert (out / "robustness.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert 'id="robustness"' in page and "View turned" in page


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--phase test --weights w.pt --corrupt limbs", "--corrupt limbs: there is no such corruption. Did you mean"),
        ("--phase test --weights w.pt --corrupt limb:0", "--corrupt limb:0: the severity is one of 1, 2, 3, 4, 5"),
        ("--phase test --weights w.pt --corrupt", "--corrupt"),
        ("--corrupt limb", "--corrupt belongs to --phase test"),
    ],
)
def test_impossible_corruptions_are_one_line(lab, capsys, flags, says):
    assert lab("CTR-GCN", f"--config {CONFIG} --work-dir {lab.root}/out {SMALL} {flags}") == 2
    printed = capsys.readouterr().err
    assert says in printed and "Traceback" not in printed and printed.count("error: ") == 1


def test_what_cannot_happen_is_refused_by_name_and_left_out_of_all(monkeypatch):
    feeder = Feeder(ArrayClips([np.ones((3, 4, 30, 1))]), [], ["one"])  # 30 joints: no skeleton that is known
    said: list[str] = []
    monkeypatch.setattr(program, "underlying", lambda _: feeder)

    def planned(*words: str) -> list[str]:
        run = Namespace(loaders=Namespace(test=None), options=Namespace(corrupt=list(words)), log=said.append)
        return [str(corruption) for corruption, _ in program.planned(run)]

    assert planned("all:1") == ["joints:1", "frames:1", "gap:1"]
    assert len(said) == 6 and said[0].startswith("--corrupt all: without limb: nothing tells the skeleton of ")
    with pytest.raises(UsageError, match="--corrupt swap: nothing tells the skeleton"):
        planned("all", "swap:2")


@pytest.mark.slow
def test_two_runs_are_compared(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = shlex.split(documented("skeleton-lab robustness"))
    kinds = ["limb", "gap", "view"]
    a, b = fake.write_robustness(Path(line[0]), kinds, 0.9), fake.write_robustness(Path(line[1]), ["gap"])
    text = (b / "robustness.csv").read_text().splitlines()
    (b / "robustness.csv").write_text("\n".join([text[0], *text[2:]]) + "\n")  # of clips as they are nothing is known
    assert cli.main(["robustness", *line]) == 0
    head, first, second, warned, path = capsys.readouterr().out.splitlines()
    mean = f"{100 * np.mean([0.8 * 0.9**k for k in range(1, 6)]):.1f}"
    assert head.split() == ["top1,", "%", "clean", *kinds, "mean"] and path == "robustness.png" and Path(path).is_file()
    assert first.split() == [a.name, "80.0", *[mean] * 3, mean]
    assert warned == "The runs were not all tested on the same corruptions: their means do not compare."
    assert second.split() == [b.name, "–", *[mean if kind == "gap" else "–" for kind in kinds], mean]


@pytest.mark.slow
def test_the_picture_has_a_curve_for_each_run(tmp_path):
    from PIL import Image

    a, b = fake.write_robustness(tmp_path / "a", ["limb"], 0.9), fake.write_robustness(tmp_path / "b", ["limb"], 0.6)
    pixels = np.asarray(Image.open(robustness.draw([a, b], tmp_path / "both.png")).convert("RGB"))
    panel = pixels[: int(0.8 * len(pixels))]  # above the legend
    ends = []
    for colour in COLOURS:
        rows, columns = (panel == colour).all(-1).nonzero()
        ends.append(rows[columns > 0.9 * columns.max()].min())
    assert ends[0] + 50 < ends[1]  # 0.8 * 0.9**5 is drawn above 0.8 * 0.6**5


def test_the_report_tells_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(run_report, "_plots", lambda *_: None)
    run = fake.complete(tmp_path / "run", epochs=2, num_class=10, samples=20)
    section = robustness.section(run)
    assert [row[0] for row in section.values["rows"]] == [kind.title for kind in KINDS.values()]
    assert section.values["rows"][0][2][4] == (f"{80 * 0.9**5:.1f} %", pytest.approx(1 - 0.9**5, abs=1e-4), "50")
    (run / "robustness.csv").write_text("corruption,severity,amount,top1\nlimb,1,0.2,much\n")
    page = run_report.write(run).read_text()
    assert "is no table of main.py --corrupt: its part is left out." in page and "One limb missing" not in page
    (run / "robustness.csv").unlink()
    assert robustness.section(run) is None


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        (None, "", "robustness.csv: No such file or directory; main.py --phase test --corrupt all writes it"),
        ("", "", "is no table of main.py --corrupt"),
        ("corruption,severity,amount,top1\nlimb,1,0.2,nan\n", "", "is no table of main.py --corrupt"),
        ("corruption,severity,amount,top1\nlimb,1\n", "", "is no table of main.py --corrupt"),
        ("corruption,severity,amount,top1\nnone,0,0,0.5\n", "", "has no corruption yet"),
        ("corruption,severity,amount,top1\n\x1b[2J,1,0.2,0.5\n", "", "a corruption '\\x1b[2J:1', which does not exist"),
        ("corruption,severity,amount,top1\nlimb,1e300,0.2,0.5\n", "", "'limb:1e+300', which does not exist"),
        ("corruption,severity,amount,top1\nlimb,1,0.2,0.5\n", "--metric top2", "no column 'top2'. Did you mean 'top1'"),
        ("corruption,severity,amount,top1\nlimb,1,0.2,0.5\n", "--metric corruption", "no column 'corruption'"),
        ("corruption,severity,amount,top1\nlimb,1,0.2,0.5\n", "--output /proc/a.png", "--output /proc/a.png"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, capsys, text, flags, says):
    if text is not None:
        (tmp_path / "robustness.csv").write_text(text)
    argv = shlex.split(f"{tmp_path} --output {tmp_path}/a.png {flags}")
    assert robustness.main(argv) == 2
    printed = capsys.readouterr().err
    assert says in printed and printed.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


def test_a_signal_while_the_picture_is_drawn_stops_the_run(tmp_path, monkeypatch):
    said: list[str] = []
    run = Namespace(work_dir=tmp_path, log=said.append)
    tables.draw(run, "robustness", "robustness.png")  # there is no table
    assert said and said[0].startswith("No robustness.png: UsageError: ")

    def interrupted(*_: object) -> None:
        raise Stopped(15)

    monkeypatch.setattr(robustness, "draw", interrupted)
    with pytest.raises(Stopped):
        tables.draw(run, "robustness", "robustness.png")


def test_a_signal_while_the_report_is_written_stops_the_run(tmp_path, monkeypatch):
    said: list[str] = []
    run = Namespace(
        work_dir=tmp_path, options=Namespace(report=True), team=Namespace(first=True),
        log=lambda line, **_: said.append(line),
    )  # fmt: skip

    def ends_with(error: Exception) -> None:
        def write(*_: object) -> None:
            raise error

        monkeypatch.setattr(run_report, "write", write)
        final_test.write_report(run)

    ends_with(ValueError("a mistake"))
    assert said == ["No report: ValueError: a mistake"]
    with pytest.raises(Stopped):
        ends_with(Stopped(15))
