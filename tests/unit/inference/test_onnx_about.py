"""What an exported network says about itself, and what is said of files that say something else."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from skeleton_lab.errors import UsageError
from skeleton_lab.inference import onnx_about
from skeleton_lab.inference.onnx_about import KEY, About

ABOUT = About(
    room="stgcn", model="net.st_gcn.Model", config="c.yaml", weights="w.pt", num_class=3, classes=["go", "行く", "x"],
    skeleton=None, joints=25, channels=3, persons=2, scored=False, placed=False, frames=64, dynamic=["batch"],
    window=None, usual_length=None, padded=300, feeder="feeder.feeder.Feeder", feeder_kind="a.b.C",
    feeder_args={"window_size": 64, "p_interval": [0.95]}, average_clips="prob", generated=False, bones=False,
    preprocessing=False, version="1", commit=None,
)  # fmt: skip


def test_text_comes_back():
    assert onnx_about.loaded({"other": "x", KEY: onnx_about.dumped(ABOUT)}, "net.onnx") == ABOUT


def test_later_fields_are_no_trouble():
    content = asdict(ABOUT) | {"new": 1}
    assert onnx_about.loaded({KEY: json.dumps(content)}, "net.onnx") == ABOUT


def refused(text: str | None) -> str:
    with pytest.raises(UsageError) as raised:
        onnx_about.loaded({} if text is None else {KEY: text}, "net.onnx")
    assert "\n" not in str(raised.value) and "net.onnx" in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"joints": "25"}, "joints"), ({"joints": True}, "joints"), ({"classes": ["a"]}, "1 names of 3"),
        ({"classes": [1, 2, 3]}, "classes"), ({"feeder_args": []}, "feeder_args"), ({"room": None}, "room"),
        ({"persons": 0}, "persons"), ({"form": 99}, "later version"), ({"scored": 1}, "scored"),
        ({"usual_length": -3}, "usual_length"), ({"padded": 10**12}, "padded"), ({"average_clips": "x"}, "prob, score"),
        ({"generated": True, "joints": 17}, "25 joints"), ({"classes": ["a", "b", "\ud800"]}, "classes"),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(change, word):
    assert word in refused(json.dumps(asdict(ABOUT) | change))


def test_other_files_are_refused():
    assert "skeleton-lab export" in refused(None)
    assert "no JSON" in refused("{")
    assert "no JSON" in refused("[" * 100_000)
    assert "no fields" in refused("[]")


def test_names_may_be_unknown():
    about = replace(ABOUT, classes=None)
    assert onnx_about.loaded({KEY: onnx_about.dumped(about)}, "net.onnx") == about


def test_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import skeleton_lab.inference.onnx_about"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
