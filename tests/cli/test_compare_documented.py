"""The commands of docs/compare.md, word by word."""

from __future__ import annotations

import json

import many_runs
import numpy as np
import pytest
import yaml
from sandbox import documented, run_line

from skeleton_lab import registry
from skeleton_lab.compare import pictures
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.synthetic import archive

COMMANDS = documented("compare.md")
NAMES = ("ctrgcn_joint", "stgcn_joint", "ctrgcn_joint-seed2", "study/runs/ctrgcn-joint-seed1")


@pytest.mark.slow
def test_every_command_does_what_the_document_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictures, "draw", lambda *_: None)  # they take their time
    (tmp_path / "data").mkdir()
    archive.write(tmp_path / "data" / "NTU60_CS.npz", train=4, test=24, classes=6, progress=False)
    labels = open_archive("data/NTU60_CS.npz", "test").labels
    room = registry.find("ctrgcn")
    config = yaml.safe_load((room.path / room.config).read_text())
    config["train_feeder_args"]["window_size"] = 8  # the FLOPs of short clips are soon counted
    many_runs.make(tmp_path / "made", 2, 2, clips=24, classes=60)
    for name, made in zip(NAMES, sorted((tmp_path / "made").iterdir())):
        many_runs.rewrite(made, labels=labels, names=np.array([f"test_{k}" for k in range(24)]))
        (made / "config.yaml").write_text(yaml.safe_dump(config))
        (tmp_path / "work_dir" / name).parent.mkdir(parents=True, exist_ok=True)
        made.rename(tmp_path / "work_dir" / name)
    listed = [{"name": "ctrgcn-joint-seed1", "seed": 1, "stream": "joint", "folder": "runs/ctrgcn-joint-seed1"}]
    (tmp_path / "work_dir" / "study" / "study.json").write_text(json.dumps({"runs": listed}))
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        assert run_line(command) == 0, command
    for folder in ("comparison", "work_dir/seeds", "work_dir/study/comparison"):
        assert {"comparison.html", "comparison.csv", "comparison.json"} <= {
            p.name for p in (tmp_path / folder).iterdir()
        }
    told = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    assert (told["chosen_pair"]["a"], told["chosen_pair"]["b"]) == ("ctrgcn_joint", "stgcn_joint")
    assert "length" in {part["kind"] for part in told["parts"]} and told["runs"][0]["flops_forward"] > 1e6
