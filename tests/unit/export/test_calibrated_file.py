"""An exported file keeps the calibration of its weights, and who predicts with it heeds that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from predict_bench import walkers
from scipy.special import softmax

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

import onnx_files

from skeleton_lab.errors import UsageError
from skeleton_lab.inference import calibrated, onnx_network
from skeleton_lab.inference.predict import predict
from skeleton_lab.inference.wishes import Wishes

TOLD = {"temperature": 2.5, "classes": [0, 3], "reject": {"score": "max logit", "threshold": 0.5}}


def test_predictions_of_a_file_are_calibrated(tmp_path):
    file = onnx_files.write(tmp_path / "net.onnx", calibration=TOLD, feeder_args={"window_size": 16})
    with onnx_network.opened(file) as network:
        assert network.calibration == calibrated.Calibration(Path(file), 2.5, [0, 3], "max logit", 0.5)
        assert calibrated.statement(network.calibration) == TOLD
        rows = predict(network, walkers(40, 1).squeeze(1), Wishes(keypoints="coco17", window=16), "").rows
    for row in rows:
        assert row.known == bool(row.logits[[0, 3]].max() >= 0.5)
        np.testing.assert_allclose(row.probabilities, softmax(row.logits.astype(float) / 2.5), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"temperature": -1}, "temperature -1"),
        ({"classes": [60]}, "class 60 of 60"),
        ({"reject": None}, "no threshold"),
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path, change, says):
    file = onnx_files.write(tmp_path / "net.onnx", calibration={**TOLD, **change})
    with pytest.raises(UsageError, match="export the network anew") as error, onnx_network.opened(file):
        pass
    assert says in str(error.value) and str(file) in str(error.value)
