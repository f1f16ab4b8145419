"""What every network promises, whatever it is; numbers of single networks are in their own tests."""

from __future__ import annotations

import ast
import copy
import json
import runpy
import sys
from functools import cached_property
from pathlib import Path

import pytest
import replay
import torch
import torch.nn.functional as F
import yaml
from networks import FRAMES, NETWORKS
from places import PARITY
from torch import Tensor, nn

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.losses import logits_of
from skeleton_lab.nn import fuse, is_fused, unfuse
from skeleton_lab.utils.importing import import_class
from skeleton_lab.zero_shot.model import variants
from skeleton_lab.zero_shot.model.vae import MLP


class Network:
    def __init__(self, room: str, config: str, changes: dict, fixture: str):
        settings = yaml.safe_load((registry.find(room).path / config).read_text())
        self.args = {**settings["model_args"], **changes}
        torch.manual_seed(0)
        with registry.room(room):
            self.model = fuse(import_class(settings["model"])(**self.args))
        facts = json.loads((PARITY / f"{fixture}.json").read_text())
        self.untouched = {*facts.get("parameters_without_gradient", []), *facts.get("no_gradient_parameters", [])}
        self.classes = self.args.get("num_class", self.args.get("num_classes"))

    def inputs(self, N: int = 4) -> tuple[Tensor, ...]:
        torch.manual_seed(1)
        return counting.example(self.args, N, FRAMES, single_person=0.5)

    @cached_property
    def trained(self) -> tuple[nn.Module, Tensor]:
        """The network with the gradients of one training step, and that step's logits."""
        model = copy.deepcopy(self.model)
        return model, step(model, self.inputs())


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda row: f"{row[0]}-{Path(row[1]).parent.name}-{row[3]}")
def network(request) -> Network:
    return Network(*request.param)


def step(model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Logits of one training step with fixed random draws."""
    torch.manual_seed(2)
    logits = logits_of(model.train()(*inputs))
    F.cross_entropy(logits, torch.arange(len(logits))).backward()
    return logits.detach()


def test_shape_and_determinism(network):
    model = copy.deepcopy(network.model).eval()
    inputs = network.inputs()
    with torch.no_grad():
        logits = logits_of(model(*inputs))
        assert logits.shape == (4, network.classes) and logits.isfinite().all()
        assert torch.equal(logits_of(model(*inputs)), logits)
        alone = logits_of(model(*(t[1:2] for t in inputs)))
    torch.testing.assert_close(alone, logits[1:2], rtol=1e-3, atol=1e-4 * logits.abs().max().item())


def test_every_parameter_learns(network):
    model, logits = network.trained
    assert logits.isfinite().all()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in network.untouched:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name
    for name, buffer in model.named_buffers():
        assert not buffer.is_floating_point() or buffer.isfinite().all(), name


def test_gradients_of_gradients_are_refused(network):
    """Backwards that are written by hand are differentiable once; twice would be wrong without a word."""
    model = copy.deepcopy(network.model).train()
    logits = logits_of(model(*network.inputs(2)))
    trained = [p for p in model.parameters() if p.requires_grad]
    loss = F.cross_entropy(logits, torch.arange(2))
    gradients = torch.autograd.grad(loss, trained, create_graph=True, allow_unused=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        sum(g.square().sum() for g in gradients if g is not None).backward()


def test_checkpointing_changes_nothing(network):
    """Logits, gradients and running statistics, with all the random draws of training."""
    (kept, logits), recomputed = network.trained, copy.deepcopy(network.model)
    assert kept.activation_checkpointing is False
    recomputed.activation_checkpointing = True
    torch.testing.assert_close(step(recomputed, network.inputs()), logits, rtol=1e-6, atol=1e-6)
    for (name, a), b in zip(recomputed.named_parameters(), kept.parameters()):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6 * max(1, b.grad.abs().max()), msg=name)
    for (name, a), b in zip(recomputed.named_buffers(), kept.buffers()):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6, msg=name)


def test_all_bodies_empty(network):
    """Finite, wherever the plain form is: DeGCN's norms blow up what is constant 316 times each, which overflows."""
    x, *more = network.inputs()

    def finite_gradients(model: nn.Module) -> bool:
        assert step(model, (torch.zeros_like(x), *more)).isfinite().all()
        return all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    assert finite_gradients(copy.deepcopy(network.model)) or not finite_gradients(unfuse(copy.deepcopy(network.model)))


def test_learns_two_samples(network):
    """Twelve steps on two clips: the loss must come down by a lot, or something is not connected."""
    model = copy.deepcopy(network.model).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    inputs, losses = network.inputs(2), []
    for _ in range(12):
        optimizer.zero_grad()
        loss = F.cross_entropy(logits_of(model(*inputs)), torch.arange(2))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-3:]) < 0.5 * losses[0]


@pytest.mark.parametrize("room", [room for room in registry.ROOMS if room.program], ids=lambda room: room.folder)
def test_smoke_test(room, capsys, monkeypatch):
    """One step on random input, as ``python smoke_test.py --frames 16``."""
    monkeypatch.setattr("sys.argv", ["smoke_test.py", "--frames", "16"])
    script = str(room.path / "smoke_test.py")
    with registry.room(room.folder), pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    out = capsys.readouterr().out
    assert done.value.code == 0 and f"Running {room.folder} smoke test on cpu" in out and "Smoke test ok" in out


# --- the plain form: what a reader of the paper reads ---------------------------------------------------------------

LINES = 240
LONGER = {"SkateFormer.py": 290}  # with 24 arguments and two embeddings the one file has no fewer
# file of the paper's network, and the row of NETWORKS that stands for it
PAPERS = {
    "CTR-GCN/model/ctrgcn.py": 0,
    "MS-G3D/model/msg3d.py": 2,
    "FreqMixFormer/model/skefreqmixformer.py": 4,
    "SkateFormer/model/SkateFormer.py": 6,
    "Hyper-GCN/model/hypergcn.py": 9,
    "ST-GCN/net/st_gcn.py": 11,
    "PYSKL/model/stgcnpp.py": 15,
    "PYSKL/model/protogcn.py": 16,
    "DeGCN/model/degcn.py": 14,
    "skeleton_lab/zero_shot/model/frequency.py": "fsvae",
    "skeleton_lab/zero_shot/model/vae.py": "msf",
}


class ZeroShot(nn.Module):
    """What a zero-shot network computes: logits of unseen classes, and what texts and features decode to."""

    def __init__(self, variant: str):
        super().__init__()
        self.nets = variants.build(variant, 256, 512, 100)
        self.nets["cls"] = MLP([100, 5])

    def forward(self, s: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        (smu, slv), (tmu, tlv) = self.nets["se"](s), self.nets["te"](t)
        return self.nets["cls"](smu), slv, tlv, self.nets["sd"](tmu), self.nets["td"](smu)


class Plain:
    """The plain form of a paper's network, its example inputs, and the files that its layers are written in."""

    def __init__(self, paper: str):
        self.paper, row = registry.ROOT / paper, PAPERS[paper]
        torch.manual_seed(0)
        if isinstance(row, str):
            self.model, self.inputs = ZeroShot(row), (torch.rand(4, 256), torch.randn(4, 512))
            self.files = self._files()
            return
        room, config, changes, _ = NETWORKS[row]
        settings = yaml.safe_load((registry.find(room).path / config).read_text())
        arguments = {**settings["model_args"], **changes}
        with registry.room(room):
            self.model = import_class(settings["model"])(**arguments)
            self.files = self._files()
        self.inputs = counting.example(arguments, 4, FRAMES)

    def _files(self) -> set[Path]:
        homes = {type(module).__module__ for module in self.model.modules()} - {__name__}
        return {Path(sys.modules[home].__file__) for home in homes if not home.startswith("torch.")}


@pytest.fixture(scope="module", params=PAPERS)
def plain(request) -> Plain:
    return Plain(request.param)


def test_plain_form_exports(plain):
    """Logits of the exported program, also for a batch of another size."""
    fewer = tuple(t[:3] for t in plain.inputs)
    replay.check_export(copy.deepcopy(plain.model), plain.inputs, fewer, [{0: replay.BATCH} for _ in plain.inputs])


def test_plain_form_needs_autograd_alone(plain):
    replay.check_autograd_alone(copy.deepcopy(plain.model), *plain.inputs)


def test_a_paper_is_read_in_one_file(plain):
    """Its network is written there, and in the shared layers at most; nothing of the fused form is in either."""
    assert not is_fused(plain.model)
    assert plain.paper in plain.files
    assert len(plain.paper.read_text().splitlines()) <= LONGER.get(plain.paper.name, LINES)
    for file in plain.files:
        for node in ast.walk(ast.parse(file.read_text())):
            named = {getattr(node, name, None) for name in ("id", "arg", "attr", "module")}
            named |= {alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)}
            words = {str(name) for name in named}
            assert not words & {"bodies", "Function"}, f"{file}: {words}"
            assert not any("fused" in word for word in words), f"{file}: {words}"
