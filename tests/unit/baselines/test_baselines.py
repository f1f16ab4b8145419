"""The small models, their data set, and the documented scripts around them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parity.kaggle_sample import make_kaggle_arrays, to_ntvm
from places import ROOT
from torch.utils.data import DataLoader

from skeleton_lab.baselines import benchmark, gpu, timing
from skeleton_lab.baselines.dataset import NTU60SkeletonDataset
from skeleton_lab.baselines.models import SimpleMLP, SimpleSTBackbone, STGCNBackbone, adjacency
from skeleton_lab.data.archives import convert
from skeleton_lab.errors import ArchiveError, UsageError


@pytest.fixture(scope="module")
def arrays():
    made = make_kaggle_arrays()
    return {key: value[:, :40] if key[0] == "x" else value for key, value in made.items()}


@pytest.fixture(scope="module")
def data(arrays, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "NTU60_CS.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def five(arrays, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("five") / "NTU60_CS_ctrgcn.npz"
    made = {key: to_ntvm(value) if key[0] == "x" else value.argmax(1) for key, value in arrays.items()}
    np.savez(path, **made)
    return path


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def script(name, *words, **environment) -> Done:
    """``python name words``, in this process: starting PyTorch anew would take most of the time."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with (
        mock.patch.object(sys, "argv", [name, *map(str, words)]),
        mock.patch.object(sys, "path", [str((ROOT / name).parent), *sys.path]),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(torch.cuda, "is_available", lambda: False),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    return Done(status, out.getvalue(), err.getvalue())


def right(name, *words, **environment) -> list[str]:
    done = script(name, *words, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def refused(done, *words):
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and all(word in done.stderr for word in words), done.stderr


# --- models --------------------------------------------------------------------------------------------------------


def test_parameter_names():
    assert list(SimpleMLP(10).state_dict()) == [f"net.{k}.{p}" for k in (0, 2, 4) for p in ("weight", "bias")]
    names = [f"{k}.{p}" for k in ("temporal.0", "temporal.2", "fc.1", "fc.3") for p in ("weight", "bias")]
    assert list(SimpleSTBackbone().state_dict()) == names
    tops = {re.sub(r"\.(weight|bias|running_\w+|num_\w+)$", "", key) for key in STGCNBackbone().state_dict()}
    blocks = {f"layer{k}.{p}" for k in (1, 2, 3) for p in ("gcn.A", "gcn.conv", "gcn.bn", "tcn.0", "tcn.1")}
    assert tops == {"data_bn", "fc", *blocks, *(f"layer{k}.residual.{i}" for k in (1, 3) for i in (0, 1))}


def test_shapes_and_persons():
    x = torch.randn(2, 3, 20, 25, 2)
    other = torch.cat([x[..., :1], torch.randn(2, 3, 20, 25, 1)], dim=4)
    for model in (SimpleSTBackbone(10), STGCNBackbone(10)):
        model.eval()
        assert model(x).shape == (2, 10)
        assert torch.equal(model(x), model(other)) and torch.equal(model(x), model(x[..., 0]))
    flat = x.permute(0, 2, 4, 3, 1).reshape(2, 20, 150)
    mlp = SimpleMLP(3000, 7)
    assert mlp(x).shape == (2, 7) and torch.equal(mlp(x), mlp(flat))


def plain_block(block, x):
    """The block as its paper's code writes it: convolution, then neighbours; batch norm by itself."""
    y = block.gcn.conv(x)
    y = torch.einsum("vw,nctw->nctv", block.gcn.A, y)
    y = block.tcn(F.relu(block.gcn.bn(y)))
    return F.relu(y + (x if block.residual is None else block.residual(x)))


@pytest.mark.parametrize("training", [False, True])
def test_graph_network_equals_its_plain_form(training):
    torch.manual_seed(0)
    model = STGCNBackbone(10).train()
    x = torch.randn(4, 3, 21, 25, 2)
    for _ in range(3):
        model(x)  # moves the running statistics
    model.train(training)
    N, C, T, V = x.shape[:4]
    y = x[..., 0].permute(0, 2, 1, 3).reshape(N * T, C * V)
    y = model.data_bn(y).view(N, T, C, V).permute(0, 2, 1, 3)
    for layer in (model.layer1, model.layer2, model.layer3):
        y = plain_block(layer, y)
    assert y.shape == (4, 128, 11, 25)
    torch.testing.assert_close(model(x), model.fc(y.mean((2, 3))), rtol=1e-4, atol=1e-5)


def test_adjacency():
    A = adjacency()
    torch.testing.assert_close(A.sum(1), torch.ones(25))
    assert (A > 0).eq(A.T > 0).all() and (A > 0).sum() == 25 + 2 * 24
    assert A[2, 4] > 0 and A[0, 20] > 0 and A[2, 20] == 0


# --- data set ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_dataset_gives_whole_clips(split, arrays, data, five):
    expected = to_ntvm(arrays[f"x_{split}"])
    for path in (data, five):
        clips = NTU60SkeletonDataset(path, split)
        assert len(clips) == len(expected) and clips.num_class == 60
        x, y = clips[3]
        assert x.dtype == torch.float32 and y.dtype == torch.int64 and y.shape == ()
        np.testing.assert_array_equal(x, expected[3])
        assert int(y) == arrays[f"y_{split}"][3].argmax()
        x, y = next(iter(DataLoader(clips, batch_size=5)))
        np.testing.assert_array_equal(x, expected[:5])
        x, _ = NTU60SkeletonDataset(path, split, use_both_persons=False)[-1]
        np.testing.assert_array_equal(x, expected[-1, ..., 0])


def test_dataset_transform_and_one_person_file(arrays, tmp_path, data):
    assert torch.equal(NTU60SkeletonDataset(data, transform=lambda x: -x)[0][0], -NTU60SkeletonDataset(data)[0][0])
    np.savez(tmp_path / "one.npz", **{k: v[..., :75] if k[0] == "x" else v for k, v in arrays.items()})
    x, _ = NTU60SkeletonDataset(tmp_path / "one.npz")[1]
    assert x.shape == (3, 40, 25, 2) and not x[..., 1].any()
    np.savez(tmp_path / "uav.npz", x_train=np.zeros((2, 3, 4, 17, 2), np.float32), y_train=np.arange(2))
    with pytest.raises(ArchiveError, match="17 joints"):
        NTU60SkeletonDataset(tmp_path / "uav.npz")
    with pytest.raises(UsageError, match="val"):
        NTU60SkeletonDataset(data, "val")


def test_dataset_of_a_folder_of_arrays(arrays, data, tmp_path):
    """As the converter writes it: labels lie beside the arrays."""
    convert.convert(data, tmp_path / "xsub", to="npy", show=False)
    of_folder, of_file = (NTU60SkeletonDataset(path, "test") for path in (tmp_path / "xsub", data))
    assert torch.equal(of_folder.labels, of_file.labels)
    assert torch.equal(of_folder[3][0], of_file[3][0])


@pytest.mark.slow
def test_module_as_a_script(data, five):
    for path in (data, five):
        lines = right("baselines/skeleton_dataset_ctrgcn.py", "--npz-path", path)
        assert any("x (8, 3, 40, 25, 2) torch.float32, y (8,) torch.int64" in line for line in lines)
    words = "from skeleton_dataset_ctrgcn import NTU60SkeletonDataset; print(NTU60SkeletonDataset.__name__)"
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT / "baselines", capture_output=True, text=True)
    assert done.stdout.strip() == "NTU60SkeletonDataset", done.stderr


# --- training ------------------------------------------------------------------------------------------------------


def test_mlp_without_flags_looks_for_the_file(data):
    lines = right("baselines/train_npz_mlp.py", NTU60_ROOT=str(data.parent))
    assert lines[0] == f"Loading dataset from {data} ..."
    assert lines[1:3] == ["Train size: 12", "Using device: cpu"]
    assert re.fullmatch(r"\[0/50\] loss=\d+\.\d+, acc=[01]\.\d+", lines[3])
    assert lines[-1].startswith("Finished 1 batches")


def test_mlp_stops_after_51_batches(arrays, tmp_path):
    many = {key: np.repeat(value, 5, 0)[:, :4] if key[0] == "x" else np.repeat(value, 5, 0)
            for key, value in arrays.items()}  # fmt: skip
    np.savez(tmp_path / "many.npz", **many)
    lines = right("baselines/train_npz_mlp.py", "--npz-path", tmp_path / "many.npz", "--batch-size", 1)
    assert [line[: line.index("]") + 1] for line in lines if line[0] == "["] == [f"[{i}/50]" for i in range(0, 51, 10)]
    assert lines[-1].startswith("Finished 51 batches")


def test_mlp_with_the_documents_flags(data):
    flags = ["--epochs", "5", "--batch-size", "256", "--device", "cuda:0"]
    done = script("baselines/train_npz_mlp.py", "--npz-path", data, *flags)
    assert done.returncode == 0 and "Using device: cpu" in done.stdout
    assert done.stderr.startswith("warning: --device cuda:0") and len(done.stderr.splitlines()) == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("===")][-1] == "=== Epoch 5/5 ==="


@pytest.mark.slow
def test_graph_network_learns_and_says_so(five):
    flags = ["--epochs", "12", "--batch-size", "4", "--num-worker", "1", "--device", "cpu"]
    lines = right("baselines/train_skeleton_gcn.py", "--npz-path", five, *flags)
    header = ["Dataset path: ", "Device: cpu", "Mixed precision AMP: False", "Epochs: 12", "Batch size: 4"]
    assert all(any(line.startswith(word) for line in lines) for word in header)
    assert "=== Epoch 1/12 ===" in lines and any(line.startswith("[iter 0] loss=") for line in lines)
    losses = [float(line.split("mean loss=")[1].split(",")[0]) for line in lines if "mean loss=" in line]
    assert len(losses) == 12 and losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_five_epochs_by_default(data):
    lines = right("baselines/train_skeleton_gcn.py", "--npz-path", data, "--num-worker", 0)
    assert "Epochs: 5" in lines and "=== Epoch 5/5 ===" in lines


def test_simple_backbone(data):
    lines = right("baselines/train_skeleton_gcn_simple_backbone.py", "--npz-path", data, "--num-worker", 0)
    assert any(line.startswith("[0/100] loss=") for line in lines)


@pytest.mark.slow
def test_equal_seeds_give_equal_runs(data):
    words = ["--npz-path", data, "--num-worker", 0, "--epochs", 1, "--batch-size", 4]
    assert right("baselines/train_skeleton_gcn.py", *words) == right("baselines/train_skeleton_gcn.py", *words)


@pytest.mark.slow
def test_ctrgcn_extras(arrays, tmp_path):
    few = {key: value[:4, :16] if key[0] == "x" else value[:4] for key, value in arrays.items()}
    np.savez(tmp_path / "few.npz", **few)
    words = ["--npz-path", tmp_path / "few.npz", "--batch-size", 2, "--num-worker", 0]
    lines = right("ctrgcn_extras/train_ctrgcn_npz.py", *words)
    assert any(line.startswith("[0/100] loss=") for line in lines)
    lines = right("ctrgcn_extras/train_ctrgcn_npz_full.py", *words, "--epochs", 2)
    assert any(re.fullmatch(r"\[epoch 1 iter 0\] loss=\S+, batch_acc=\S+", line) for line in lines)
    number = r"\d+\.\d{4}"
    pattern = rf"Epoch 2 summary: train_loss={number}, train_acc={number}, test_acc={number}"
    assert re.fullmatch(pattern, lines[-1])
    assert "10 epochs" in " ".join(right("ctrgcn_extras/train_ctrgcn_npz_full.py", "--help"))


def test_mistakes_are_one_line(data, tmp_path, monkeypatch):
    refused(script("baselines/train_npz_mlp.py", "--npz-path", tmp_path / "x.npz"), "x.npz")
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path)
        refused(script("baselines/train_npz_mlp.py"), "/workspace/data/NTU60/NTU60_CS.npz")
    refused(script("baselines/train_skeleton_gcn.py", "--npz-path", data, "--epochs", 0), "--epochs")
    refused(script("baselines/train_skeleton_gcn.py", "--npz-path", data, "--batch-size", 0), "--batch-size")
    refused(script("baselines/train_skeleton_gcn.py", "--npz-path", data, "--num-worker", -1), "--num-worker")
    refused(script("baselines/train_npz_mlp.py", "--npz-path", data, "--seed", 10**20), "--seed")
    (tmp_path / "text.npz").write_text("no archive")
    refused(script("baselines/train_skeleton_gcn.py", "--npz-path", tmp_path / "text.npz"), "text.npz")


# --- GPU, benchmark, smoke test --------------------------------------------------------------------------------------


def test_check_gpu_without_a_gpu():
    lines = right("baselines/check_gpu.py")
    assert lines[:2] == ["CUDA available: False", "CUDA device count: 0"]
    assert f"PyTorch version: {torch.__version__}" in lines and any(line.startswith("CUDA version: ") for line in lines)


IMAGE = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]  # torch 2.3, CUDA 12.1


@pytest.mark.parametrize(
    "capability, built, expected",
    [
        ((8, 6), IMAGE, "native"),
        ((8, 9), IMAGE, "native"),  # machine code of an older minor number
        ((6, 1), IMAGE, "native"),
        ((12, 0), IMAGE, None),
        ((3, 7), IMAGE, None),
        ((12, 0), [*IMAGE, "compute_90"], "ptx"),
        ((8, 0), ["sm_86"], None),
        ((9, 0), ["sm_90a"], "native"),
        ((12, 0), ["sm_120", "compute_120"], "native"),
        ((10, 3), ["sm_100f"], "native"),
        ((9, 0), [], None),
        ((9, 0), ["gfx90a"], None),
    ],
)
def test_capability_against_the_build(capability, built, expected):
    assert gpu.support(capability, built) == expected


def test_check_gpu_with_a_card_that_the_build_lacks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Card 5090")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (12, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: IMAGE)
    properties = type("Properties", (), {"total_memory": 8 * 2**30})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    lines = gpu.report()
    assert "Device 0 name: Card 5090" in lines and "Device 0 memory: 8.0 GiB" in lines
    assert any("12.0" in line and "sm_90" in line and "no kernel image" in line for line in lines)


@pytest.mark.slow
def test_benchmark_of_the_small_models():
    done = script("baselines/benchmark_models.py", "--models", "simple", "mlp", "stgcn_lite", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:4] == ["Running simple...", "Running mlp...", "Running stgcn_lite...", "Benchmark summary:"]
    assert [line.split()[:5] for line in lines[5:]] == [
        ["OK", name, "3", "2", "50"] for name in ("simple", "mlp", "stgcn_lite")
    ]


@pytest.mark.slow
def test_benchmark_as_documented():
    line = ["--model", "ctrgcn", "--steps", "1", "--seq_len", "16", "--device", "cuda:0", "--amp"]
    done = script("baselines/benchmark_models.py", *line)
    assert done.returncode == 0, done.stderr
    assert "OK  ctrgcn" in done.stdout.splitlines()[-1]
    assert all(text.startswith("warning: ") for text in done.stderr.splitlines())


def test_benchmark_rounds_the_frames_up():
    assert timing.case("freqmixformer", 1, 13).frames == 16
    assert timing.case("skateformer", 1, 12).inputs[0].shape[0] == 1


def test_benchmark_default_is_what_is_here():
    present = benchmark.here()
    assert present[:3] == ["simple", "stgcn_lite", "mlp"] and {"ctrgcn", "msg3d", "stgcn"} <= set(present)


def test_benchmark_fails_if_a_model_fails(monkeypatch, capsys):
    monkeypatch.setitem(timing.NETWORKS, "mlp", lambda T: SimpleMLP(7))
    assert benchmark.main(["--models", "mlp", "simple", "--steps", "1", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "FAIL  mlp" in said.out and "OK    simple" in said.out and "error: mlp" in said.err
    assert benchmark.main(["--models", "ctrgnc"]) == 2
    assert "ctrgcn" in capsys.readouterr().err
    assert benchmark.main(["--models", "simple", "--steps", "0"]) == 2


@pytest.mark.slow
def test_smoke():
    command = [sys.executable, "smoke_test.py"]  # as smoke_test_all.py starts it
    done = subprocess.run(command, cwd=ROOT / "baselines", capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Running baselines smoke test on cpu"
    assert re.fullmatch(r"Smoke test ok - loss=\d+\.\d{4}, acc=\d+\.\d{2}%", lines[1])
    flags = "--device cpu --batch-size 2 --seq-len 4 --feature-dim 6"
    assert right("baselines/smoke_test.py", *flags.split())
    refused(script("baselines/smoke_test.py", "--seq-len", 0), "--seq-len")
