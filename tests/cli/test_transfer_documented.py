"""The commands of docs/transfer.md, in their order and word by word, on few clips; flags behind them shorten them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from places import ROOT
from sandbox import documented, run_line

from skeleton_lab import registry
from skeleton_lab.data.archives.ntu_protocol import ONE_SHOT_NOVEL, anchor
from skeleton_lab.inference import network

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs" / "transfer.md").read_text("utf-8")
COMMANDS = documented("transfer.md")
SHORT = "--device cpu --num-worker 0 --num-epoch 1 --step 1 --test-batch-size 8 --report False --batch-size 24"
WEIGHTS = "epoch80_model.pt"
FRAMES = 10


def body(rng: np.random.Generator, count: int, joints: int) -> np.ndarray:
    """(N, 3, T, V, 1): pixels and scores of joints that sway."""
    sway = np.sin(np.arange(FRAMES)[:, None] / 3 + rng.uniform(0, 6, (count, 1, joints)))
    points = rng.uniform(100, 300, (count, 2, 1, joints)) + 5 * sway[:, None]
    return np.concatenate([points, np.full((count, 1, FRAMES, joints), 0.9)], 1)[..., None].astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the document speaks of: my.npz of five classes, weights of 60, NTU120_CSub.npz, a video's key points."""
    here, rng = tmp_path_factory.mktemp("transfer"), np.random.default_rng(0)
    labels = np.arange(30) % 5
    x = body(rng, 30, 17)
    words = {"skeleton": "coco17", "channels": "xys", "units": "px", "class_names": np.array([*"abcde"])}
    np.savez(here / "my.npz", x_train=x, y_train=labels, x_test=x[:5], y_test=labels[:5], **words)
    frames = [{"image_id": f"{t}.jpg", "category_id": 1, "keypoints": x[0, :, t, :, 0].T.ravel().tolist(),
               "score": 0.9} for t in range(FRAMES)]  # fmt: skip
    (here / "video.json").write_text(json.dumps(frames))
    room = registry.find("stgcn")
    config = yaml.safe_load((room.path / str(room.config)).read_text())
    with registry.room("stgcn"):
        net = registry.load("stgcn", config["model"])(**config["model_args"])
    (here / "trained").mkdir()
    torch.save(net.state_dict(), here / "trained" / WEIGHTS)
    names: list[str] = []
    for action in (label + 1 for label in ONE_SHOT_NOVEL):
        setup = 1 if action <= 60 else 18
        names += [anchor(action - 1), f"S{setup:03d}C001P008R001A{action:03d}"]
    names += [f"S001C001P{performer:03d}R001A002" for performer in range(1, 51)]
    actions = np.array([int(name[-3:]) for name in names])
    clips = rng.standard_normal((len(names), FRAMES, 150)).astype(np.float32)
    test = np.arange(len(names)) % 2 == 1
    parts = {"train": ~test, "test": test}
    np.savez(here / "NTU120_CSub.npz", **{
        f"{key}_{split}": value[rows] for split, rows in parts.items()
        for key, value in (("x", clips), ("y", np.eye(120)[actions - 1]), ("name", np.array(names)))
    })  # fmt: skip
    return here


def test_every_command_does_what_the_document_says(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(network, "FRAMES", 20)  # of the mapped clips; NTU's own 300 would only cost time
    assert len(COMMANDS) == 8
    for command in COMMANDS:
        verb = command.split()[1]
        more = SHORT if verb == "train" else "--draws 2" if verb == "few-shot" else ""
        assert run_line(command, more) == 0, command
        work = folder / (re.search(r"--work-dir (\S+)", command) or ["", "none"])[1]
        for made in work.glob("epoch1_model.pt"):  # the document's name of the last epoch's weights
            made.rename(work / ("epoch20_model.pt" if work.name == "fine-tuned" else WEIGHTS))
    log = (folder / "fine-tuned" / "log.txt").read_text()
    told = re.search(rf"trained/{WEIGHTS} is of .*", log)
    said = re.search(rf"^trained/{WEIGHTS} is of .*$", TEXT, re.MULTILINE)
    assert told and said and told[0] == said[0]
    before, frozen = (torch.load(folder / path, weights_only=True) for path in (f"trained/{WEIGHTS}",
                                                                                f"five-shot/{WEIGHTS}"))  # fmt: skip
    assert torch.equal(before["st_gcn_networks.5.tcn.2.weight"], frozen["st_gcn_networks.5.tcn.2.weight"])
    assert "--shots 5: 25 of 30 training clips, of 5 classes." in (folder / "five-shot" / "log.txt").read_text()
    assert set(json.loads(Path("work_dir/few_shot/few_shot.json").read_text())["shots"]) == {"1", "2", "5"}
    assert json.loads(Path("work_dir/one_shot/one_shot.json").read_text())["clips"] == 20
    assert json.loads(Path("work_dir/predict/predictions.json").read_text())["classes"] == [*"abcde"]
