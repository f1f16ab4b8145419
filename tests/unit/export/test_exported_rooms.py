"""A network of every supervised room becomes a file, and other runtimes say of the same clips what PyTorch says."""

from __future__ import annotations

import pytest
import torch
import yaml
from networks import FRAMES, NETWORKS

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.errors import UsageError
from skeleton_lab.export import comparing, tracing
from skeleton_lab.utils.importing import import_class

SMALLER = {"DeGCN": {"num_stream": 1}}  # a trunk is like the other
LONGER = {"SkateFormer": 64}  # frames: the network is made for them
FIXED = ("SkateFormer", "FreqMixFormer")  # whose graphs count the frames
# a row of NETWORKS for every network that differs from the others in its layers
ROWS = [0, 2, 4, 8, 9, 11, 14, 15, 16]


def exported(row: int, opset: int = 18):
    """The plain network of a row, its inputs for three clips, the axes of their frames, and its graph."""
    room, config, changes, _ = NETWORKS[row]
    settings = yaml.safe_load((registry.find(room).path / config).read_text())
    arguments = {**settings["model_args"], **changes, **SMALLER.get(room, {})}
    torch.manual_seed(0)
    with registry.room(room):
        net = tracing.answer(import_class(settings["model"])(**arguments))
    given = counting.example(arguments, 3, LONGER.get(room, FRAMES))
    axes = (2, 1)[: len(given)]
    two = {name: x[:2] for name, x in zip(("clips", "index_t"), given)}
    try:
        return net, given, axes, tracing.graph(net, two, [None] * len(axes) if room in FIXED else axes, opset)
    except UsageError as error:
        if "cannot write it" not in str(error):
            raise
        pytest.skip(f"PyTorch {torch.__version__} writes older operators only")


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: NETWORKS[row][3])
def test_rooms(row):
    """At batch sizes 1 and 3, and for more frames where they are free."""
    net, given, axes, model = exported(row)
    running = comparing.session(model)
    assert running.get_inputs()[0].shape[0] == "batch"
    found = comparing.compared(running, net, given)
    assert found.agrees and found.largest > 0, found
    if NETWORKS[row][0] not in FIXED:
        assert running.get_inputs()[0].shape[axes[0]] == "frames"
        assert comparing.compared(running, net, comparing.longer(given, axes)).agrees


@pytest.mark.slow
@pytest.mark.parametrize("row", [11, 15], ids=lambda row: NETWORKS[row][3])
def test_other_runtimes(row, tmp_path):
    """OpenVINO, told to compute in float32, and tract: neither has anything of onnxruntime."""
    openvino, tract = pytest.importorskip("openvino"), pytest.importorskip("tract")
    net, given, _, model = exported(row)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with torch.no_grad():
        expected = net(*given)
    core = openvino.Core()
    compiled = core.compile_model(tmp_path / "net.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    torch.testing.assert_close(torch.from_numpy(compiled(given[0].numpy())[0].copy()), expected, rtol=0, atol=1e-4)
    runnable = tract.onnx().load(str(tmp_path / "net.onnx")).into_model().into_runnable()
    made = torch.from_numpy(runnable.run([given[0].numpy()])[0].to_numpy().copy())
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)


def test_what_differs_is_found():
    """Other weights, a frozen batch, and NaN."""
    net, frozen = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    clips = torch.ones(4, 3)

    class Session:
        def __init__(self, net):
            self.net = net

        def get_inputs(self):
            return [type("Input", (), {"name": "clips"})]

        def run(self, names, given):
            return [self.net(torch.from_numpy(given["clips"])).numpy()]

    assert comparing.compared(Session(net), net, [clips]).agrees
    assert not comparing.compared(Session(frozen), net, [clips]).agrees
    assert not comparing.compared(Session(lambda x: net(clips[:2])), net, [clips]).agrees
    assert not comparing.compared(Session(lambda x: net(x) * torch.nan), net, [clips]).agrees
