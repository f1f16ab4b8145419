"""docs/own-data.md, word by word: from key points and labels to an archive, a training, its report and a prediction."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import own_recordings
import pytest
from places import ROOT

from skeleton_lab import cli, registry
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.engine import run
from skeleton_lab.inference import program

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "own-data.md").read_text()
LINES = [
    shlex.split(line)
    for block in re.findall(r"^```bash\n(.*?)^```$", DOCUMENT, re.S | re.M)
    for line in block.splitlines()
]
FEW = {  # behind the words of the document, of which the last count
    "train": "--train-feeder-args window_size=4 --test-feeder-args window_size=4 --num-epoch 1 --device cpu",
    "predict": "--weights runs/joint/runs-1-5.pt --window 40 --together",
}


def execute(words: list[str]) -> int:
    """A command of the document; those of rooms in this process, and small."""
    assert words[0] == "skeleton-lab"
    verb, rest = words[1], [*words[2:], *shlex.split(FEW.get(words[1], ""))]
    if verb not in ("train", "predict"):
        return cli.main([verb, *rest])
    room = registry.find(rest[0])
    flags = cli.configured(room, rest[1:], takes_work_dir=verb == "train")
    with registry.room(room.folder):
        if verb == "train":
            return run(room.recipe, str(room.path / "main.py"), flags)
        return program.run(room.recipe, str(room.path / "predict.py"), flags)


def test_from_key_points_to_a_confusion_matrix(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(own_recordings.study(tmp_path / "study"))
    assert [words[1] for words in LINES] == ["prepare", "check", "view", "train", "predict"]
    said = {}
    for words in LINES:
        assert execute(words) == 0, words
        said[words[1]] = capsys.readouterr().out
    assert "100 clips, 75 to train on, 25 to test (by subject" in said["prepare"] and "skipped" not in said["prepare"]
    names = open_archive("my.npz", "test").class_names
    assert len(names) == 5 and names[0] == "drink_water"
    assert "SOUND: 0 errors" in said["check"] and all(name in said["check"] for name in names)
    assert all(name in Path("clips.html").read_text() for name in names)
    page = Path("runs/joint/report.html").read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    with np.load("runs/joint/evaluation.npz") as file:
        told, labels = file["logits"].argmax(1), file["labels"]
    assert sorted(np.bincount(labels)) == [5] * 5
    cells = np.reshape(data["confusion"]["cells"], (-1, 3))  # class, what was said, how often
    assert data["confusion"]["names"] == list(names)
    for label, said_to_be, count in cells.tolist():
        assert count == ((labels == label) & (told == said_to_be)).sum()
    assert cells[:, 2].sum() == 25
    predicted = json.loads(Path("predicted/predictions.json").read_text())
    text = json.dumps(predicted)
    assert all(name in text for name in names) and "video_007" in text
