"""Weights as others wrap and name them, and refusals that say what is wrong."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import yaml
from networks import NETWORKS
from torch import nn

from skeleton_lab import registry
from skeleton_lab.engine import work_dir
from skeleton_lab.engine.pretrained import epoch_of, load_weights, read_weights, step_of
from skeleton_lab.errors import LabError, WeightsError
from skeleton_lab.utils.importing import import_class


class Net(nn.Module):
    """Two submodules whose names end alike, and a classifier."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.att_module, self.gcn_module = nn.Linear(2, 2), nn.Linear(2, 2)
        self.fc = nn.Linear(2, classes)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def numbered(net: nn.Module) -> OrderedDict:
    """A state dict whose every tensor has a number of its own."""
    return OrderedDict((key, torch.full_like(value, i)) for i, (key, value) in enumerate(net.state_dict().items()))


def under(prefix: str, state: dict) -> OrderedDict:
    return OrderedDict((prefix + key, value) for key, value in state.items())


WRAPPED = {
    "plain": lambda s: s,
    "module.": lambda s: under("module.", s),
    "_orig_mod.": lambda s: under("_orig_mod.", s),
    "compiled and parallel": lambda s: under("module._orig_mod.", s),
    "parallel twice": lambda s: under("module.module.", s),
    "lightning": lambda s: {"state_dict": under("model.", s), "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": under("module.", s), "optimizer": {}},
    "nested": lambda s: {"model": {"state_dict": under("module.model.", s)}},
    "net": lambda s: {"net": under("_orig_mod.", s)},
    "mmaction": lambda s: {"meta": {"epoch": 1}, "state_dict": {
        **under("backbone.", {k: v for k, v in s.items() if "fc" not in k}),
        **under("cls_head.", {k.replace("fc.", "fc_cls."): v for k, v in s.items() if "fc" in k})}},
    "swa": lambda s: {"n_averaged": torch.tensor(7), **under("module.", s)},
    "ema": lambda s: {"ema": under("module.", s)},
    "model and ema": lambda s: {"ema": {k: v + 100 for k, v in s.items()}, "model": s},
}  # fmt: skip


@pytest.mark.parametrize("how", WRAPPED)
def test_wrappers_and_prefixes(how, net, tmp_path):
    state, said = numbered(net), []
    torch.save(WRAPPED[how](state), tmp_path / "w-12.pt")
    assert load_weights(net, tmp_path / "w-12.pt", strict=True, say=said.append) == 12
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    expected = {"swa": ["n_averaged = 7"], "ema": ["'ema'"], "model and ema": ["'model'", "not ema"]}.get(how, [])
    assert len(said) == bool(expected) and all(word in said[0] for word in expected), said


def test_only_leading_prefixes_go(tmp_path):
    """``split("module.")`` made one entry of both."""
    state = {"att_module.weight": torch.zeros(1), "gcn_module.weight": torch.ones(1)}
    torch.save(state, tmp_path / "w.pt")
    assert list(read_weights(tmp_path / "w.pt")) == list(state)


def test_a_network_may_have_a_prefix_as_a_part(tmp_path):
    outer = nn.ModuleDict({"backbone": nn.Linear(2, 2), "model": nn.Linear(2, 2)})
    state = numbered(outer)
    torch.save(under("module.", state), tmp_path / "w.pt")
    load_weights(outer, tmp_path / "w.pt", strict=True)
    assert all(torch.equal(value, state[key]) for key, value in outer.state_dict().items())


def test_two_entries_of_one_name_are_refused(net, tmp_path):
    state = numbered(net)
    torch.save({**state, "module.fc.weight": state["fc.weight"]}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"both 'fc.weight' and 'module.fc.weight'"):
        load_weights(net, tmp_path / "w.pt")


def test_safetensors(net, tmp_path):
    files = pytest.importorskip("safetensors.torch")
    state = numbered(net)
    files.save_file(under("model.", state), tmp_path / "w.safetensors")
    load_weights(net, tmp_path / "w.safetensors", strict=True)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    content = (tmp_path / "w.safetensors").read_bytes()
    for damaged in (content[:-9], content[:20], b"", b"\xff" * 40):
        (tmp_path / "w.safetensors").write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"w\.safetensors: truncated"):
            read_weights(tmp_path / "w.safetensors")


def test_ignoring_excuses_only_what_it_names(net, tmp_path):
    """An ignored word let every missing entry pass, and a random classifier was tested."""
    state = numbered(net)
    del state["fc.bias"]
    torch.save(state, tmp_path / "w.pt")
    for word in ("nothing", "att"):
        with pytest.raises(WeightsError, match=r"missing in the file: fc\.bias"):
            load_weights(net, tmp_path / "w.pt", ignore=[word], strict=True)
    said: list[str] = []
    load_weights(net, tmp_path / "w.pt", ignore=["fc"], strict=True, say=said.append)
    assert any("random" in line and "fc.weight, fc.bias" in line for line in said)


def test_ignored_words_of_a_configuration_drop_only_what_does_not_fit(net, tmp_path):
    """A fine-tuning's config.yaml says ignore_weights: [fc]; its own weights are tested with their classifier."""
    state = numbered(net)
    torch.save(state, tmp_path / "w.pt")
    load_weights(net, tmp_path / "w.pt", ignore=["fc"], strict=True, complete=True)
    assert torch.equal(net.fc.weight, state["fc.weight"])
    torch.save({**state, "fc.extra": torch.ones(1)}, tmp_path / "w.pt")
    load_weights(net, tmp_path / "w.pt", ignore=["fc"], strict=True, complete=True)
    torch.save({**state, "fc.bias": torch.ones(9)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"missing in the file: fc\.bias"):
        load_weights(net, tmp_path / "w.pt", ignore=["fc"], strict=True, complete=True)


def test_hints_only_at_flags_that_there_are(net, tmp_path):
    torch.save({"other": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError) as plain:
        load_weights(net, tmp_path / "w.pt")
    assert "--" not in str(plain.value)
    with pytest.raises(WeightsError, match="--ignore-weights"):
        load_weights(net, tmp_path / "w.pt", hint="; --ignore-weights leaves entries out")


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """One network of every kind, by "room class"."""
    made, rows = {}, [(room, config, None) for room, config, _, _ in NETWORKS]
    for room, name in (("CTR-GCN", "model.baseline.Model"), ("DeGCN", "model.jbf.Model")):
        rows.append((room, "config/nturgbd-cross-subject/default.yaml", name))
    for room, config, name in rows:
        settings = yaml.safe_load((registry.find(room).path / config).read_text())
        name = name or settings["model"]
        if f"{room} {name}" not in made:
            with registry.room(room):
                made[f"{room} {name}"] = import_class(name, "model")(**settings["model_args"])
    return made


def test_the_table_of_telling_names(networks):
    assert len(networks) >= 9
    found = {key: [name for name, parameter in registry.TELLING if parameter in net.state_dict()]
             for key, net in networks.items()}  # fmt: skip
    assert all(len(names) == 1 for names in found.values()), found
    assert all(names[0].startswith(key.split()[0]) for key, names in found.items()), found
    assert {names[0] for names in found.values()} == {name for name, _ in registry.TELLING}


def test_weights_of_another_room_are_called_so(networks, tmp_path):
    skate, ctr = (next(net for key, net in networks.items() if key.startswith(room)) for room in ("Skate", "CTR"))
    torch.save({key: torch.zeros(value.shape) for key, value in skate.state_dict().items()}, tmp_path / "w.pt")
    for net, ours in ((ctr, "CTR-GCN"), (Net(), r"test_weights\.Net")):
        with pytest.raises(WeightsError, match=f"these weights belong to SkateFormer, this is {ours}$"):
            load_weights(net, tmp_path / "w.pt")


class Evil:
    def __reduce__(self):
        return (os.system, ("touch pwned",))


def test_the_refused_global_is_named_without_torchs_advice(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Evil()}, "evil.pt")
    Path("evil.pkl").write_bytes(pickle.dumps({"fc.weight": Evil()}))
    torch.save({"fc.weight": OrderedDict, "x": Net}, "class.pt")
    for name, named in (("evil.pt", "posix.system"), ("evil.pkl", "posix"), ("class.pt", "test_weights.Net")):
        with pytest.raises(LabError) as refused:
            load_weights(net, Path(name))
        line = str(refused.value)
        assert named in line and "\n" not in line and "\x1b" not in line, line
        assert not any(word in line for word in ("weights_only", "torch.load", "safe_globals", "http")), line
    assert not Path("pwned").exists()


@pytest.mark.parametrize("room", [room for room in registry.ROOMS if room.config], ids=lambda room: room.folder)
def test_every_rooms_weights_are_known_by_their_name(room, tmp_path):
    """Their epoch and steps are read from it, and an earlier run's move aside."""
    path = tmp_path / room.recipe.weights.format(epoch=7, step=90)
    assert epoch_of(path) == 7 and step_of(path) == (90 if "90" in path.name else 0)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert work_dir.holds_run(tmp_path)
    moved = work_dir.move_earlier(tmp_path)
    assert not path.exists() and (moved / path.relative_to(tmp_path)).exists()
