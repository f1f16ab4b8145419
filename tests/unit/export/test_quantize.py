"""Files of 8 bits: what is stored, by arithmetic of the test's own; what is printed; what is refused."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnx_files
import onnxruntime
from onnx import numpy_helper
from tiny_data import make_all

from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.export import quantize
from skeleton_lab.inference import onnx_about


def clips(count: int = 12) -> np.ndarray:
    return np.random.default_rng(3).normal(0.2, 1, (count, 3, 16, 25, 2)).astype(np.float32)


@pytest.fixture
def made(tmp_path) -> tuple[Path, Path, np.ndarray]:
    source, target, x = onnx_files.write(tmp_path / "net.onnx"), tmp_path / "net.int8.onnx", clips()
    quantize.quantize(source, target, ({onnx_about.CLIPS: each[None]} for each in x))
    return source, target, x


def test_weights_are_integers_with_a_scale_for_each_channel(made):
    """Symmetric: the largest weight of a column is 127; ranges of activations are those of the calibration clips."""
    source, target, x = made
    held = {each.name: numpy_helper.to_array(each) for each in onnx.load(target).graph.initializer}
    [integers] = [value for value in held.values() if value.dtype == np.int8 and value.ndim == 2]
    weight = onnx_files.weight(3, 25)
    scale = np.abs(weight).max(0) / 127
    assert integers.shape == weight.shape and np.abs(integers).max(0).tolist() == [127] * weight.shape[1]
    np.testing.assert_allclose(integers * scale, weight, atol=scale.max() / 2 * 1.001)
    [stored] = [value for value in held.values() if value.shape == scale.shape and value.dtype == np.float32]
    np.testing.assert_allclose(stored, scale, rtol=1e-5)
    mean = x.mean((2, 4))
    span = (max(mean.max(), 0) - min(mean.min(), 0)) / 255
    scales = [float(value) for value in held.values() if value.shape == () and value.dtype == np.float32]
    assert any(abs(each - span) < 1e-3 * span for each in scales), (scales, span)
    assert target.stat().st_size < 0.5 * source.stat().st_size
    assert [*target.parent.glob(".*")] == []


def test_the_answers_are_nearly_the_same_and_the_file_tells_the_same(made):
    source, target, _ = made
    before, after = (onnxruntime.InferenceSession(path) for path in (source, target))
    x = clips()[:4]
    exact, rounded = (session.run(None, {onnx_about.CLIPS: x})[0] for session in (before, after))
    difference = np.abs(exact - rounded).max()
    assert 0 < difference < 0.1 * np.abs(exact).max()
    told, same = (session.get_modelmeta().custom_metadata_map[onnx_about.KEY] for session in (before, after))
    assert json.loads(told) == json.loads(same)


@pytest.mark.slow
def test_the_table_has_size_time_and_accuracy_of_both(tmp_path, capsys, monkeypatch):
    """The ranges are those of training clips, the accuracy that of test clips; what goes on is seen on a terminal."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    archive = make_all(tmp_path) / "data/NTU60_CS.npz"
    source = onnx_files.write(tmp_path / "net.onnx", feeder_args={"window_size": 16})
    quantize.run(source, archive)
    out, seen = capsys.readouterr().out, terminal.getvalue()
    assert 0 < seen.index("ranges of training") < seen.index("accuracy of float32") < seen.index("accuracy of int8")
    train, test = (open_archive(archive, split) for split in ("train", "test"))
    assert f"quantised by {len(train)} training clips" in out and f"of {len(test)} test clips" in out
    rows = {row[0]: row[1:] for row in re.findall(r"^(float32|int8) +([\d.]+) MB +([\d.]+) ms +([\d.]+) %$", out, re.M)}
    target = tmp_path / "net.int8.onnx"
    assert [float(rows[name][0]) for name in ("float32", "int8")] == [
        round(path.stat().st_size / 1e6, 2) for path in (source, target)
    ]
    assert float(re.search(r"has ([\d.]+) of the size", out)[1]) < 0.5


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ((8.4e6, 0.87), (9.2e6, 0.48), "the file has 110 % of the size, and top-1 falls from 87.0 to 48.0 %; use"),
        ((10e6, 0.9), (9.1e6, 0.9), "the file has 91 % of the size; use"),
        ((10e6, 0.9), (3e6, 0.84), "network: top-1 falls from 90.0 to 84.0 %; use net.onnx"),
        ((10e6, 0.9), (8.9e6, 0.85), ""),
        ((10e6, float("nan")), (3e6, float("nan")), ""),
    ],
)
def test_a_file_that_is_no_smaller_or_worse_is_spoken_against(before, after, says):
    costs = [quantize.Cost(int(size), 0.1, top1, np.zeros((4, 2))) for size, top1 in (before, after)]
    line = quantize.unsuited(*costs, Path("net.onnx"))
    assert says in line and bool(line) == bool(says)


def test_what_cannot_be_quantised_is_one_line(tmp_path):
    source = onnx_files.write(tmp_path / "net.onnx", feeder_args={"window_size": 16})
    with pytest.raises(LabError, match=r"absent\.npz"):
        quantize.run(source, tmp_path / "absent.npz")
    model = onnx.load(source)
    model.graph.node[2].op_type = "Sub"  # nothing that multiplies is left
    model.graph.node[2].input[1] = "flat"
    onnx.save(model, source)
    with pytest.raises(UsageError, match="has no Conv, Gemm, MatMul"):
        quantize.quantize(source, tmp_path / "out.onnx", ({onnx_about.CLIPS: each[None]} for each in clips(2)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx"]
