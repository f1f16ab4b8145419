"""``skeleton-lab export``: what is written, what it says about itself, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from skeleton_lab import create_model
from skeleton_lab.cli import main
from skeleton_lab.data.synthetic import archive
from skeleton_lab.export import comparing, tracing
from skeleton_lab.inference import onnx_network

pytestmark = pytest.mark.skipif(
    tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 5),
    reason="this PyTorch writes operators up to version 17 only",
)
FRAMES = 24


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "w.pt"
    torch.save(create_model("stgcn").state_dict(), file)
    return file


@pytest.fixture(scope="module")
def exported(weights):
    """A file with its own normalisation, of clips of 24 frames."""
    file = weights.with_name("net.onnx")
    assert main(["export", "ST-GCN", "--weights", str(weights), "--output", str(file), "--clips", "3"]) == 0
    return file


def refused(capsys, *flags) -> str:
    assert main(["export", *map(str, flags)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
    return told


@pytest.mark.slow
def test_a_file_is_written(exported, weights):
    """It answers as the trained network does, at another length too, and says what predicting needs."""
    with onnx_network.opened(exported) as network:
        assert (network.about.room, network.about.num_class, network.joints) == ("stgcn", 60, 25)
        assert network.about.dynamic == ["batch", "frames"] and network.about.classes[22] == "hand waving"
        assert network.about.frames == 300 and not network.about.preprocessing
        assert "data_path" not in network.about.feeder_args
        x = np.random.default_rng(0).normal(size=(3, 3, FRAMES, 25, 2)).astype(np.float32)
        made = network.run([x])
    net = create_model("stgcn", weights).eval()
    with torch.no_grad():
        expected = net(torch.from_numpy(x))
    torch.testing.assert_close(torch.from_numpy(made), expected, rtol=0, atol=1e-4)
    opsets = {each.domain: each.version for each in onnx.load(exported).opset_import}
    assert opsets[""] == 18


@pytest.mark.slow
def test_what_differs_is_not_written(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparing, "TOLERANCE", -1.0)
    file = tmp_path / "net.onnx"
    file.write_bytes(b"before")
    flags = ["export", "stgcn", "--weights", str(weights), "--output", str(file), "--clips", "1"]
    assert main(flags) == 1
    assert "nothing was written" in capsys.readouterr().out and file.read_bytes() == b"before"


def test_flags_that_cannot_work(weights, tmp_path, capsys):
    base = ("stgcn", "--weights", weights, "--output", tmp_path / "x.onnx")
    assert "--opset 17" in refused(capsys, *base, "--opset", 17)
    assert "--frames 0" in refused(capsys, *base, "--frames", 0)
    assert "--clips" in refused(capsys, *base, "--clips", 0)
    assert "is a folder" in refused(capsys, *base[:3], "--output", tmp_path)
    assert "no.pt" in refused(capsys, "stgcn", "--weights", tmp_path / "no.pt", "--output", tmp_path / "x.onnx")
    archive.write(tmp_path / "coco.npz", train=2, test=2, classes=2, progress=False, skeleton="coco17")
    assert "has 17 joints, and the network takes 25" in refused(capsys, *base, "--quantize", tmp_path / "coco.npz")
    assert "FS-VAE trains on features" in refused(capsys, "fsvae", *base[1:])
    assert not (tmp_path / "x.onnx").exists()


def test_operations_that_onnx_lacks_are_one_line(capsys):
    class Spectrum(torch.nn.Module):
        def forward(self, x):
            return torch.fft.fft(x.mean((2, 3, 4))).abs()

    with pytest.raises(ValueError, match="Spectrum cannot be written as ONNX") as raised:
        tracing.graph(tracing.answer(Spectrum()), {"clips": torch.ones(2, 3, 4, 5, 1)}, [None], 18)
    assert "\n" not in str(raised.value) and capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_missing_package_is_one_line(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    told = refused(capsys, "stgcn", "--weights", weights, "--output", tmp_path / "x.onnx")
    assert "pip install 'skeleton-lab[export]'" in told


def test_metadata_is_json(exported):
    told = {each.key: each.value for each in onnx.load(exported).metadata_props}
    content = json.loads(told["skeleton_lab"])
    assert content["room"] == "stgcn" and content["padded"] == 300


class Nearest(torch.nn.Module):
    """Of equal values, the places of the two that count as the least."""

    def forward(self, x):
        values, place = (0 * x.mean(2).flatten(1)).sort(stable=True)
        return torch.cat([values[:, :2], place[:, :2].float()], 1)


def test_a_stable_sort_takes_the_first_of_equals():
    """As Hyper-GCN chooses the vertices of its hyper-edges; a trained one has many that are equally near."""
    net, x = tracing.Answer(Nearest()).eval(), torch.rand(4, 3, 8, 25, 2)
    running = comparing.session(tracing.graph(net, {"clips": x[:2]}, [2], 18))
    found = comparing.compared(running, net, [x])
    assert found.agrees and found.worst == 0
    np.testing.assert_array_equal(comparing.said(running, [x]), [[0, 0, 0, 1]] * 4)
