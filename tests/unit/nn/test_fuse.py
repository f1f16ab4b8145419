"""Changing a network's form: what becomes a twin, what stays, and what the change must not touch."""

from __future__ import annotations

import copy
import pickle
import sys

import pytest
import torch
from torch import nn

import skeleton_lab as lab
from skeleton_lab import registry
from skeleton_lab.nn import fuse, is_fused, unfuse
from skeleton_lab.nn.backbone import Block, TenBlocks
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.layers import MultiScaleTemporalConv, UnitTCN


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        return self.by * x


@fuses(Scale)
class FusedScale(Scale):
    def forward(self, x):
        return x * self.by


class Offset(Scale):
    """A subclass that computes something else."""

    def forward(self, x):
        return self.by + x


def network() -> nn.Sequential:
    return nn.Sequential(Scale(), nn.Linear(3, 3), nn.ReLU(), nn.Sequential(Offset(), Scale()))


def test_twins_replace_layers_and_nothing_else():
    net = fuse(network())
    assert [type(layer) for layer in (net[0], net[1], net[2], net[3], *net[3])] == [
        FusedScale, nn.Linear, nn.ReLU, nn.Sequential, Offset, FusedScale,
    ]  # fmt: skip
    assert is_fused(net) and not is_fused(network())
    assert not is_fused(unfuse(net)) and type(net[3][1]) is Scale


def test_twice_is_as_good_as_once():
    net = network()
    assert fuse(fuse(net)) is net and type(net[0]) is FusedScale
    assert unfuse(unfuse(net)) is net and type(net[0]) is Scale


def test_state_hooks_mode_and_optimiser_survive():
    torch.manual_seed(0)  # with some weights ReLU lets nothing through
    net = network().eval()
    net[0].train()
    before = {name: tensor.data_ptr() for name, tensor in net.state_dict().items()}
    seen = []
    net[0].register_forward_hook(lambda *_: seen.append("called"))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    fuse(net)
    assert {name: tensor.data_ptr() for name, tensor in net.state_dict().items()} == before
    assert net[0].training and not net.training
    y = net(torch.ones(2, 3))
    y.sum().backward()
    optimizer.step()
    assert seen == ["called"] and net[0].by != 2.0
    expected = net(torch.ones(2, 3))
    assert torch.equal(unfuse(net)(torch.ones(2, 3)), expected)


def test_copies_and_pickles_keep_the_form():
    net = fuse(network())
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(other[0]) is FusedScale and type(other[3][0]) is Offset
        assert torch.equal(other(torch.ones(1, 3)), net(torch.ones(1, 3)))
    assert type(copy.deepcopy(unfuse(net))[0]) is Scale


def test_a_twin_is_a_subclass_without_a_constructor():
    class Constructed(Scale):
        def __init__(self):
            super().__init__()

    for wrong in (nn.Linear, Constructed, Scale):
        with pytest.raises(TypeError, match="must be a subclass of Scale"):
            fuses(Scale)(wrong)
    assert type(fuse(Scale())) is FusedScale


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Importable files: ``fusetest`` with ``net.py``, its twins, and ``alone.py`` without."""
    folder = tmp_path / "fusetest"
    folder.mkdir()
    (folder / "__init__.py").touch()
    layer = "from torch import nn\n\nclass Double(nn.Module):\n    def forward(self, x):\n        return x + x\n"
    twin = (
        "from fusetest import net\nfrom skeleton_lab.nn.fuse import fuses\n\n@fuses(net.Double)\n"
        "class FusedDouble(net.Double):\n    def forward(self, x):\n        return 2 * x\n"
    )
    (folder / "net.py").write_text(layer)
    (folder / "net_fused.py").write_text(twin)
    (folder / "alone.py").write_text(layer)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "fusetest"]:
        del sys.modules[name]


def test_twins_are_found_beside_their_module(package):
    from fusetest import alone, net

    assert "fusetest.net_fused" not in sys.modules
    found = fuse(nn.Sequential(net.Double(), alone.Double()))
    assert type(found[0]).__name__ == "FusedDouble" and type(found[1]) is alone.Double
    assert found(torch.ones(1)).item() == 4


def test_twins_are_found_in_a_package_fused(package):
    (package / "fused").mkdir()
    (package / "net_fused.py").rename(package / "fused" / "__init__.py")
    from fusetest import net

    assert type(fuse(net.Double())).__name__ == "FusedDouble"


def test_a_closed_room_is_said(monkeypatch):
    """Its network would silently stay plain."""
    with registry.room("CTR-GCN"):
        from model import ctrgcn, ctrgcn_fused

        net = ctrgcn.Model(graph="graph.ntu_rgb_d.Graph")
        twins = ctrgcn_fused.FusedModel
    assert type(fuse(copy.deepcopy(net))) is twins  # known by now

    monkeypatch.setitem(fuse.__globals__, "_twins", {})  # as if nobody had asked for any
    with pytest.raises(RuntimeError, match=r"of .*ctrgcn\.py cannot be fused while its room is closed"):
        fuse(net)


@pytest.mark.parametrize("name, layer", [("MS-G3D", "model.msg3d"), ("FreqMixFormer", "model.skefreqmixformer")])
def test_a_network_is_fused_again_though_its_room_is_closed(name, layer):
    """Some of its layers have no twin."""
    net = lab.create_model(registry.find(name).image)
    forms = [type(module) for module in net.modules()]
    assert not is_fused(unfuse(net)) and layer in {type(module).__module__ for module in net.modules()}
    assert [type(module) for module in fuse(net).modules()] == forms


class OwnGraphUnit(nn.Module):
    """A user's layer, which knows nothing of bodies."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x):
        return self.conv(x).relu()


class OwnNetwork(TenBlocks):
    def __init__(self):
        def block(before, width, stride, residual):
            tcn1 = MultiScaleTemporalConv(width, width, 5, stride, dilations=(1, 2), residual=False)
            return Block(OwnGraphUnit(before, width), tcn1, before, width, stride, residual)

        super().__init__(block, 4, 5, 2, 3, 0)


def test_own_layers_in_the_lab_s_frame_stay_and_what_can_be_fused_is():
    torch.manual_seed(0)
    plain = OwnNetwork().double()
    fused = fuse(copy.deepcopy(plain))
    assert type(fused) is OwnNetwork and type(fused.l2) is Block and type(fused.l2.gcn1) is OwnGraphUnit
    assert is_fused(fused.l2.tcn1) and type(fused.l5.residual) is not UnitTCN
    x = torch.randn(3, 3, 8, 5, 2, dtype=torch.float64)
    x[1:, ..., 1] = 0
    torch.testing.assert_close(fused(x), plain(x))
    torch.testing.assert_close(fused.state_dict(), plain.state_dict())


def test_one_layer_of_somebody_s_own_keeps_the_frame_plain():
    """Bodies that are merged would be wrong in a norm that does not know how often each counts."""
    with registry.room("CTR-GCN") as room:
        net = registry.load(room.folder, "model.ctrgcn.Model")(graph="graph.ntu_rgb_d.Graph", num_class=4)
        net.l3.gcn1 = OwnGraphUnit(64, 64)
        plain = copy.deepcopy(net).double()
        fused = fuse(net.double())
    assert type(fused) is type(plain) and type(fused.l3) is Block and type(fused.l2) is not Block
    x = torch.randn(3, 3, 8, 25, 2, dtype=torch.float64)
    x[1:, ..., 1] = 0
    torch.testing.assert_close(fused(x), plain(x))
