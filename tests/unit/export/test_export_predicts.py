"""From weights to a file and to an answer: predict --onnx says of an export what predict says of the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from predict_bench import Bench, walkers
from sandbox import Lab
from tiny_data import make_all

from skeleton_lab import cli, registry
from skeleton_lab.inference import onnx_network
from skeleton_lab.inference.predict import predict
from skeleton_lab.inference.wishes import Wishes

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.slow
def test_the_same_logits_of_recordings_and_of_an_archive(tmp_path, monkeypatch, capsys):
    """Of a network whose feeder's ``data_path`` is no path but its stream."""
    bench = Bench(Lab(make_all(tmp_path), monkeypatch), "CTR-GCN-ucla", tmp_path)
    line = ["export", bench.room.folder, "--weights", str(bench.weights), "--config", str(bench.config), "--output"]
    assert cli.main([*line, str(tmp_path / "net.onnx"), "--clips", "3"]) == 0, capsys.readouterr()
    given = walkers(40, 1).squeeze(1)
    asked = Wishes(keypoints="coco17", window=20)
    archive = tmp_path / "data/NW-UCLA/all_sqe"
    network = bench.network()
    with registry.room(bench.room.folder):
        expected = [predict(network, each, wishes, "") for each, wishes in ((given, asked), (archive, Wishes()))]
    with onnx_network.opened(Path(tmp_path / "net.onnx")) as exported:
        found = [predict(exported, each, wishes, "") for each, wishes in ((given, asked), (archive, Wishes()))]
        assert exported.name == network.name and exported.K == network.K
    for answer, same in zip(found, expected):
        assert len(answer.rows) == len(same.rows) > 2
        for row, other in zip(answer.rows, same.rows):
            assert (row.recording, row.first, row.last, row.who) == (
                other.recording, other.first, other.last, other.who
            )  # fmt: skip
            largest = max(1.0, float(np.abs(other.logits).max()))
            np.testing.assert_allclose(row.logits, other.logits, atol=1e-4 * largest)
