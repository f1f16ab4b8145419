"""Evaluation and training as functions, without a command line; and the two forms of a network in a run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import toy_room
from sandbox import FEW
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skeleton_lab import registry
from skeleton_lab.engine import fit
from skeleton_lab.engine.config.options import from_values
from skeleton_lab.engine.dataloader import make_feeder
from skeleton_lab.engine.evaluate import evaluate
from skeleton_lab.engine.network import make_net
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import UsageError
from skeleton_lab.nn import is_fused

CONFIG = "config/nturgbd-cross-subject/default.yaml"
SHORT = {"num_epoch": 1, "batch_size": 6, "test_batch_size": 8, "num_worker": 0, "report": False}


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 4))


@pytest.fixture
def data() -> TensorDataset:
    torch.manual_seed(1)
    return TensorDataset(torch.randn(23, 3, 4), torch.arange(23) % 4, torch.arange(23))


def by_hand(net: nn.Module, data: TensorDataset) -> torch.Tensor:
    with torch.no_grad():
        logits = net.eval()(data.tensors[0])
    net.train()
    return logits


# ------------------------------------------------------------------------------------------------- evaluate


def test_a_network_and_a_plain_loader_are_enough(net, data):
    wanted = by_hand(net, data)
    for given in (DataLoader(data, batch_size=5), data):
        result = evaluate(net, given, topk=(1, 3))
        torch.testing.assert_close(result.logits, wanted)
        assert torch.equal(result.labels, data.tensors[1])
        hits = wanted.argmax(1) == data.tensors[1]
        assert result.top1 == result.accuracy == result.top[1] == pytest.approx(hits.double().mean().item())
        third = wanted.sort(1, descending=True).indices[:, :3] == data.tensors[1][:, None]
        assert result.top[3] == pytest.approx(third.any(1).double().mean().item())
        assert result.loss is None and result.results() == {"top1": result.top[1], "top3": result.top[3]}


def test_every_layer_is_left_in_its_mode(net, data):
    net[1].eval()
    before, statistics = [module.training for module in net.modules()], net[1].running_mean.clone()
    evaluate(net, data)
    assert [module.training for module in net.modules()] == before and before.count(False) == 1
    assert torch.equal(net[1].running_mean, statistics)


def test_times_of_frames_go_to_the_network_where_batches_carry_them():
    class Timed(nn.Module):
        def forward(self, x, index_t):
            return torch.stack([x.mean((1, 2)), index_t.mean(1)], 1)

    x, times, labels = torch.randn(6, 3, 4), torch.randn(6, 4), torch.ones(6, dtype=torch.long)
    result = evaluate(Timed(), TensorDataset(x, times, labels, labels), topk=1)
    torch.testing.assert_close(result.logits[:, 1], times.mean(1))
    with pytest.raises(UsageError, match="items have 1 parts"):
        evaluate(Timed(), TensorDataset(x))


@pytest.mark.slow
def test_an_evaluation_in_less_memory_is_the_same_and_said(net, data, capsys):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            if len(x) > 3:
                raise torch.cuda.OutOfMemoryError("toy memory is full")
            return self.net(x)

    torch.testing.assert_close(evaluate(Small(), data, batch_size=8).logits, by_hand(net, data))
    assert "Out of GPU memory: evaluation goes on with 2 clips at a time" in capsys.readouterr().out


@pytest.mark.slow
def test_an_evaluation_needs_no_fabric():
    code = (
        "import sys, torch; from torch.utils.data import TensorDataset as Data\n"
        "from skeleton_lab.engine.evaluate import evaluate\n"
        "evaluate(torch.nn.Linear(3, 2), Data(torch.zeros(4, 3), torch.zeros(4).long()), topk=1)\n"
        "assert not {'lightning_fabric', 'tensorboard', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=toy_room.environment())


# ------------------------------------------------------------------------------------------------- fit


@pytest.fixture
def feeders(lab):
    """Training and test data of CTR-GCN's configuration, 16 frames long."""
    room = lab.enter("CTR-GCN")
    options = from_values(room.recipe, {"config": CONFIG, "train_window_size": 16, "test_window_size": 16}, room.path)
    with registry.room("CTR-GCN"):
        return tuple(make_feeder(options, getattr(options, f"{split}_feeder_args")) for split in ("train", "test"))


@pytest.mark.slow
def test_fit_is_the_program(lab, feeders, tmp_path):
    """Bit for bit the weights and scores of ``main.py`` on the same clips."""
    line = f"--config {CONFIG} {FEW} --train-window-size 16 --test-window-size 16 --work-dir {tmp_path}/program"
    assert lab("CTR-GCN", line) == 0
    (weights,) = (tmp_path / "program").glob("runs-1-*.pt")
    epochs = [feeder.seed for feeder in feeders]
    result = fit("ctrgcn", *feeders, work_dir=tmp_path / "function", device="cpu", **SHORT)
    assert toy_room.same(toy_room.weights(result.work_dir / weights.name), toy_room.weights(weights))
    ours, theirs = (np.load(tmp_path / name / "evaluation.npz") for name in ("function", "program"))
    assert np.array_equal(ours["logits"], theirs["logits"])
    assert result.best["epoch"] == result.last["epoch"] == 1 and result.top1 == result.best["top1"]
    assert is_fused(result.net) and toy_room.same(dict(result.net.state_dict()), toy_room.weights(weights))
    assert [feeder.seed for feeder in feeders] == epochs, "the caller's data sets stay as they are"
    assert not (tmp_path / "function" / "config.yaml").read_text().startswith("#"), "there was no command line"
    again = fit("ctrgcn", *feeders, work_dir=tmp_path / "function", device="cpu", resume=True, **SHORT)
    assert again.best == result.best and again.last == result.last


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("ctrgcn", {"num_epochs": 3}, "unknown option 'num_epochs'. Did you mean 'num_epoch'"),
        ("ctrgcn", {"base_lr": "fast"}, "base_lr: 'fast' is not a finite number"),
        ("ctrgcn", {"phase": "test", "weights": "w.pt"}, r"for phase='test' there is evaluate\(\)"),
        ("ctrgcn", {"device": [0, 1]}, "on one device"),
        ("ctrgnc", {}, "there is no room 'ctrgnc'"),
        ("fsvae", {}, "FS-VAE trains on features"),
    ],
)
def test_what_fit_refuses(tmp_path, data, name, more, message):
    with pytest.raises(UsageError, match=message):
        fit(name, data, work_dir=tmp_path / "w", **{"device": "cpu", **more})
    assert not (tmp_path / "w").exists()


# ------------------------------------------------------------------------------------------------- plain and fused


def options_of(**more):
    room = registry.find("CTR-GCN")
    return from_values(room.recipe, {"config": str(room.path / CONFIG), **more}, room.path)


def test_runs_take_the_fused_form_unless_told(lab, tmp_path):
    lab.enter("CTR-GCN")
    with registry.room("CTR-GCN"):
        torch.manual_seed(3)
        fused = make_net(options_of())
        torch.manual_seed(3)
        plain = make_net(options_of(fused=False))
    assert is_fused(fused) and not is_fused(plain)
    assert toy_room.same(dict(plain.state_dict()), dict(fused.state_dict()))


@pytest.mark.slow
def test_the_plain_form_trains_too(lab, tmp_path, capsys):
    """The same loss to rounding, with the same files."""
    losses = []
    for form in ("yes", "no"):
        line = f"--config {CONFIG} {FEW} --train-window-size 16 --test-window-size 16 --work-dir {tmp_path}/{form}"
        assert lab("CTR-GCN", f"{line} --fused {form}") == 0
        losses.append(toy_room.events(tmp_path / form, "epoch")[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    names = [{path.name for path in (tmp_path / form).iterdir()} for form in ("yes", "no")]
    assert {n for n in names[0] ^ names[1] if not n.startswith(("runs-", "epoch", "hardest"))} == set()
    assert "fused: false" in (tmp_path / "no" / "config.yaml").read_text()


def test_checkpointing_belongs_to_the_fused_form(lab, tmp_path, capsys):
    line = f"--config {CONFIG} {FEW} --work-dir {tmp_path}/w --fused no --activation-checkpointing"
    assert lab("CTR-GCN", line) == 2
    assert capsys.readouterr().err == (
        "error: --activation-checkpointing belongs to the fused form: leave out --fused no\n"
    )


@pytest.mark.parametrize(
    "wrong", [{"flags": ("lr_decay_rat",)}, {"without_effect": ("stepp",)}, {"defaults": {"num_workers": 1}}]
)
def test_a_recipe_with_a_flag_of_no_program_is_refused(wrong, tmp_path):
    with pytest.raises(UsageError, match=r"recipe of X: there is no flag '.*Did you mean"):
        from_values(Recipe("X", **wrong), {}, tmp_path)
