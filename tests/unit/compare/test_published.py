"""Published figures: those of the READMEs, found for a run's configuration, with what the run sets otherwise."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import many_runs
import numpy as np
import pytest
import yaml

from skeleton_lab import cli, registry
from skeleton_lab.compare import finding, published
from skeleton_lab.compare.comparison import compare
from skeleton_lab.compare.reading import Result, read
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.synthetic import archive
from skeleton_lab.engine.config import options

ROOMS = [room for room in registry.ROOMS if (room.path / published.FILE).is_file()]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.folder)
def test_every_figure_is_in_the_readme_and_its_configuration_there(room):
    text = (room.path / "README.md").read_text("utf-8").partition("## What to expect")[2]
    figures = published.figures(room)
    assert figures
    for figure in figures:
        assert (room.path / figure["config"]).is_file(), figure
        number = rf"{figure['top1']:.1f}|{figure['top1']:.2f}"
        assert re.search(rf"(?<![\d.])({number})(?![\d])", text), figure
    keys = [(figure["config"], figure.get("stream")) for figure in figures]
    assert len(set(keys)) == len(keys), "one figure of a configuration and stream"


def resolved(folder: Path, file: str, name: str = "CTR-GCN", **changes) -> Result:
    """A run of a configuration of a room, as its config.yaml tells it."""
    room = registry.find(name)
    many_runs.make(folder, 1, 1)
    run = folder / "network0-joint-seed1"
    words = ["--config", str(room.path / file), "--work-dir", "w"]
    settings = options.parse(room.recipe, words, room.path).settings()
    settings["test_feeder_args"] |= changes.pop("test", {})
    (run / "config.yaml").write_text(yaml.safe_dump(settings | changes))
    result = read(finding.find([run])[0], show=False)[0][0]
    result.run.start["program"] = room.folder
    return result


@pytest.mark.parametrize(
    ("name", "file", "figure", "by_flag", "other"),
    [("ST-GCN", "config/st_gcn/ntu-xsub/train.yaml", 0.816, {"bone": True}, None),
     ("MS-G3D", "config/nturgbd-cross-subject/train_joint_kaggle.yaml", 0.894, {"bone": True}, 0.901),
     ("SkateFormer", "config/train/ntu_cs/SkateFormer_j.yaml", 0.926, {"data_type": "b"}, 0.921),
     ("SkateFormer", "config/train/ntu_cs/SkateFormer_b.yaml", 0.921, {"data_type": "jm"}, None),
     ("PYSKL", "config/protogcn/ntu60_xsub/k.yaml", 0.9159, {"data_type": "b"}, 0.9198)],
)  # fmt: skip
def test_a_figure_is_of_one_stream(tmp_path, name, file, figure, by_flag, other):
    found = published.of(resolved(tmp_path / "a", file, name))
    assert found is not None and found.config == file and found.top1 == pytest.approx(figure)
    found = published.of(resolved(tmp_path / "b", file, name, test=by_flag))
    if other is None:
        assert found is None, "no figure of that stream is known"
    else:  # that of the stream's own configuration
        assert found is not None and found.config != file and found.top1 == pytest.approx(other)


@pytest.mark.slow
def test_what_a_run_sets_otherwise(tmp_path):
    config = "config/nturgbd-cross-subject/default.yaml"
    unlike = {"window_size": 16, "data_path": "x.npz"}
    result = resolved(tmp_path / "a", config, num_epoch=8, device=["cpu"], test=unlike)
    found = published.of(result)
    assert found is not None and found.top1 == pytest.approx(0.896) and found.benchmark == "NTU-60 X-Sub"
    assert found.differences == (
        ("test clips", "16,487", "240"), ("num_epoch", "65", "8"), ("test_feeder_args.window_size", "64", "16"),
    )  # fmt: skip
    assert cli.main(["compare", str(tmp_path / "a" / "network0-joint-seed1"), "--output", str(tmp_path / "out")]) == 0
    assert "89.60, other clips" in (tmp_path / "out" / "comparison.html").read_text()
    (row,) = csv.DictReader((tmp_path / "out" / "comparison.csv").open())
    assert row["published"] == "", "for a table only what can be compared"
    bone = resolved(tmp_path / "b", config, test={"bone": True})
    assert bone.stream == "bone" and published.of(bone) is None, "no figure of the bone stream is known"
    own = resolved(tmp_path / "c", config, config="my/default.yaml")
    assert published.of(own) is None


@pytest.mark.slow
def test_flops_and_lengths(tmp_path):
    """Of a network that is built, and of an archive that holds the clips."""
    source = tmp_path / "my.npz"
    archive.write(source, train=4, test=24, classes=6, two_person_share=0, progress=False)
    many_runs.make(tmp_path / "runs", 2, 1, clips=24, classes=60)
    clips = open_archive(source, "test")
    lengths = clips.lengths(np.arange(24))[1]
    for run in (tmp_path / "runs").iterdir():
        many_runs.rewrite(run, labels=clips.labels, names=np.array([f"test_{k}" for k in range(24)]))
    room = registry.find("CTR-GCN")
    config = yaml.safe_load((room.path / room.config).read_text())
    for frames, run in zip((8, 16), sorted((tmp_path / "runs").iterdir())):
        config["train_feeder_args"]["window_size"] = frames
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "out"
    words = [f"{tmp_path}/runs/*", "--archive", str(source), "--flops", "--output", str(out)]
    assert cli.main(["compare", *words]) == 0
    told = json.loads((out / "comparison.json").read_text())
    assert told["notices"] == []
    flops = [line["flops_forward"] for line in sorted(told["runs"], key=lambda line: line["run"])]
    assert flops[0] > 1e8 and 1.5 < flops[1] / flops[0] <= 2, "twice as many frames; a part does not depend on them"
    (part,) = [part for part in told["parts"] if part["kind"] == "length"]
    spans = [tuple(map(int, re.findall(r"\d+", value))) for value in part["values"]]
    assert [((lengths >= low) & (lengths <= high)).sum() for low, high in spans] == part["clips"]
    assert sum(part["clips"]) == 24 and spans[0][0] == lengths.min() and spans[-1][1] == lengths.max()


def test_rows_of_an_archive_that_is_another(tmp_path):
    source = tmp_path / "my.npz"
    archive.write(source, train=4, test=10, classes=5, progress=False)
    places = finding.find([f"{many_runs.make(tmp_path / 'runs', 1, 1)}/*"])[0]
    with pytest.raises(ValueError, match="its 10 test clips are not the 240 that the runs were tested on"):
        compare(places, archive=source, show=False)
