"""Beginnings of clips: the feeder argument ``observe``, ``--observe`` in every room, the table and the picture."""

from __future__ import annotations

import csv
import json
import math
import shlex
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from parity.kaggle_sample import make_kaggle_arrays
from sandbox import Lab, shrink
from tiny_data import make_all

from skeleton_lab import registry
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.engine.dataloader import make_feeder
from skeleton_lab.reporting.run_report import anticipation, tables
from skeleton_lab.reporting.run_report.work_dir import Run

NTU = [(room.folder, room.config) for room in registry.ROOMS if room.config and room.folder != "ST-GCN"]
NTU.append(("ST-GCN", "config/st_gcn/ntu-xsub/train.yaml"))
COLOURS = ((0, 114, 178), (196, 78, 0))  # of the first and the second curve


def truncated(x: np.ndarray, share: float) -> np.ndarray:
    """x (N, T, 150) with nothing but zeros after the first ceil(share * e) frames, e being 1 + the last that is not."""
    x = x.copy()
    for clip in x:
        recorded = [t for t in range(len(clip)) if clip[t].any()]
        seen = math.ceil(round(share * (recorded[-1] + 1), 6))
        clip[seen:] = 0
    return x


def feeder(room: str, config: str, path: Path, split: str, **more):
    given = yaml.safe_load((registry.find(room).path / config).read_text())
    args = {**given[f"{split}_feeder_args"], "data_path": str(path), "split": split, **more}
    args.pop("label_path", None)
    with registry.room(room):
        return make_feeder(Namespace(feeder=given["feeder"], seed=3, model=""), args)


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[float, Path]:
    folder, arrays = tmp_path_factory.mktemp("observed"), make_kaggle_arrays()
    made = {}
    for share in (0.3, 0.7, 1.0):
        made[share] = folder / f"{share}.npz"
        parts = {key: truncated(x, share) if key[0] == "x" else x for key, x in arrays.items()}
        np.savez(made[share], **parts)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("room", "config"), NTU, ids=lambda value: value.split("/")[0])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_feeder_sees_what_an_archive_of_shortened_clips_holds(archives, room, config, share):
    """Test and training items, gaps and late persons included, augmented by the same draws."""
    for split, count in (("test", 8), ("train", 12)):
        seen = feeder(room, config, archives[1.0], split, observe=share)
        expected = feeder(room, config, archives[share], split)
        whole = feeder(room, config, archives[1.0], split)
        batch = Batch(range(count), 2)
        pairs = list(zip(seen.__getitems__(batch), expected.__getitems__(batch)))
        for got, want in pairs:
            assert torch.equal(got, want)
        assert not torch.equal(pairs[0][0], whole.__getitems__(batch)[0])


def test_random_shares_are_new_in_each_epoch_and_stay_within_their_bounds(archives):
    room, config = NTU[0]
    random = feeder(room, config, archives[1.0], "train", observe=[0.2, 0.6])
    index = np.arange(12)

    def lengths(epoch: int) -> np.ndarray:
        work = random.work(Batch(index, epoch))
        return work.clips.lengths(work.sample)[1]

    _, whole = random.clips.lengths(index)
    first, again, later = lengths(0), lengths(0), lengths(1)
    assert (first == again).all() and (first != later).any()
    for seen in (first, later):
        assert (seen >= np.ceil(0.2 * whole)).all() and (seen <= np.ceil(0.6 * whole)).all()
    part = random.work(Batch([5], 1))  # a clip's share does not depend on the batch around it
    assert part.clips.lengths(part.sample)[1] == later[5]


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    return Lab(make_all(tmp_path), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("room", "config"), NTU, ids=lambda value: value.split("/")[0])
def test_every_room_tests_beginnings(lab, capsys, room, config):
    changes = {"frame_size": 16} if room == "FreqMixFormer" else {}
    given = yaml.safe_load((registry.find(room).path / config).read_text())
    weights = lab.weights(room, config, lab.root / "weights" / "w.pt", **changes)
    args = " ".join(f"--model-args {key}={value}" for key, value in changes.items())
    line = (
        f"--config {config} --phase test --weights {weights} --work-dir {lab.root}/out --device cpu --num-worker 0 "
        f"--test-batch-size 8 --report False --observe 1.0 0.25 {args} {shrink(given)}"
    )
    assert lab(room, f"recognition {line}" if room == "ST-GCN" else line) == 0
    with open(lab.root / "out" / "anticipation.csv") as file:
        rows = list(csv.DictReader(file))
    clips = "12" if room == "PYSKL" else "8"  # of its pickle, of the archive
    assert [float(row["observed"]) for row in rows] == [0.25, 1.0] and {row["clips"] for row in rows} == {clips}
    events = [json.loads(text) for text in (lab.root / "out" / "metrics.jsonl").read_text().splitlines()]
    tested = next(event for event in events if event["event"] == "eval")
    assert float(rows[1]["loss"]) == tested["loss"] and float(rows[0]["loss"]) != tested["loss"]
    assert (lab.root / "out" / "anticipation.png").read_bytes().startswith(b"\x89PNG")
    assert "Seen the first  25% of each clip: Top1" in capsys.readouterr().out


@pytest.mark.slow
def test_a_training_on_beginnings_runs(lab):
    line = (
        "--config config/nturgbd-cross-subject/default.yaml --device cpu --num-worker 0 --num-epoch 1 --batch-size 6 "
        f"--train-feeder-args observe=[0.3,0.8],window_size=8 --test-feeder-args window_size=8 "
        f"--work-dir {lab.root}/out --report False"
    )
    assert lab("CTR-GCN", line) == 0
    assert yaml.safe_load((lab.root / "out" / "config.yaml").read_text())["train_feeder_args"]["observe"] == [0.3, 0.8]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--phase test --weights w.pt --observe 0", "--observe: 0.0 must be greater than 0"),
        ("--phase test --weights w.pt --observe 0.5 1.5", "--observe: 1.5 must be at most 1"),
        ("--observe 0.5", "--observe belongs to --phase test"),
        ("--train-feeder-args observe=[0.9,0.1]", "feeder argument observe: the lower bound comes first"),
        ("--train-feeder-args observe=0", "feeder argument observe must be"),
    ],
)
def test_impossible_shares_are_one_line(lab, capsys, flags, says):
    given = "--config config/nturgbd-cross-subject/default.yaml --device cpu --num-worker 0"
    assert lab("CTR-GCN", f"{given} --work-dir {lab.root}/out {flags}") == 2
    printed = capsys.readouterr().err
    assert says in printed and "Traceback" not in printed and printed.count("error: ") == 1


def table(folder: Path, values: list[float]) -> Path:
    folder.mkdir()
    rows = [f"{share},{value},{value},1.0,8" for share, value in zip((0.5, 1.0), values)]
    (folder / "anticipation.csv").write_text("observed,top1,top5,loss,clips\n" + "\n".join(rows) + "\n")
    return folder


def test_two_runs_are_two_curves(tmp_path, capsys):
    from PIL import Image

    a, b = table(tmp_path / "ctrgcn", [0.2, 0.8]), table(tmp_path / "stgcn", [0.4, 0.6])
    picture = tmp_path / "both.png"
    assert anticipation.main([str(a), str(b), "--output", str(picture)]) == 0
    assert capsys.readouterr().out.strip() == str(picture)
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    right = slice(int(0.9 * pixels.shape[1]), None)  # where the curves end, beside the legend
    ends = [(pixels[:, right] == colour).all(-1).nonzero()[0].min() for colour in COLOURS]
    assert ends[0] + 50 < ends[1]  # 0.8 is drawn above 0.6


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        (None, "", "anticipation.csv: No such file"),
        ("", "", "is no table of main.py --observe"),
        ("observed,top1\n0.5,many\n", "", "is no table of main.py --observe"),
        ("observed,top1\n0.5,0.5\n", "--metric top2", "no column 'top2'. Did you mean 'top1'?"),
        ("observed,top1\n0.5,0.5\n", "--colour red", "unrecognized arguments"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, capsys, text, flags, says):
    if text is not None:
        (tmp_path / "anticipation.csv").write_text(text)
    argv = shlex.split(f"{tmp_path} --output {tmp_path}/a.png {flags}")
    assert anticipation.main(argv) == 2
    printed = capsys.readouterr().err
    assert says in printed and printed.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [tmp_path / "ctrgcn" / "joint", tmp_path / "msg3d" / "joint", tmp_path / "bone"]
    assert list(tables.names(runs).values()) == ["ctrgcn/joint", "msg3d/joint", "bone"]


def test_a_link_keeps_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "runs" / "17").mkdir(parents=True)
    (tmp_path / "best").symlink_to(tmp_path / "runs" / "17")
    monkeypatch.chdir(tmp_path / "runs" / "17")
    runs = [tmp_path / "best", Path(), Path("..")]
    assert list(tables.names(runs).values()) == ["best", "17", "runs"]
    assert [Run(run).name for run in runs] == ["best", "17", "runs"]
