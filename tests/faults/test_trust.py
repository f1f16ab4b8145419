"""Whose code runs: a configuration names classes of the room or of skeleton_lab, and nothing else is even imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import toy_room
import yaml

from skeleton_lab import inference, registry
from skeleton_lab.cost import program as recipes
from skeleton_lab.engine import run
from skeleton_lab.errors import UsageError
from skeleton_lab.utils import importing, trust
from skeleton_lab.zero_shot.features import program as extract

# key of the configuration -> a stranger's value; every one of them would make a file X if it were called or imported
STRANGERS = {
    "model": {"model": "os.system", "model_args": {"command": "touch X"}},
    "model of another kind": {"model": "subprocess.Popen", "model_args": {"args": "touch X", "shell": True}},
    "model that is imported": {"model": "elsewhere.network.Model"},
    "model in a package": {"model": "package.network.Model"},
    "model among results": {"model": "work_dir.network.Model"},
    "feeder": {"feeder": "os.system", "train_feeder_args": {"command": "touch X"},
               "test_feeder_args": {"command": "touch X"}},
    "graph": {"model_args": {"graph": "os.system", "graph_args": {"command": "touch X"}}},
    "graph of the lab that writes": {"model_args": {"graph": "skeleton_lab.engine.logging.Summaries"}},
    "another dotted argument": {"model_args": {"deep": [{"norm": "elsewhere.network.Model"}]}},
    "function of the lab": {"model": "skeleton_lab.utils.atomic.write_atomically", "model_args": {"path": "X"}},
}  # fmt: skip
OWN = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, num_class=4, graph=None, graph_args=None, **rest):
        super().__init__()
        if graph:  # as published networks do it
            parts = graph.split(".")
            found = __import__(parts[0])
            for part in parts[1:]:
                found = getattr(found, part)
            self.graph = found(**(graph_args or {}))
        self.fc = nn.Linear(3, num_class)

    def forward(self, x, index_t=None):
        return self.fc(x.mean((2, 3, 4)))


def small(**arguments) -> Model:
    return Model(**arguments)


def unknown(**arguments):
    return Model(**arguments)
"""


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A room with a network of one's own, and modules elsewhere on the path that leave a file X when imported."""
    room = toy_room.make_room(tmp_path / "room")
    (room / "model" / "my.py").write_text(OWN)
    (room / "graph").mkdir()
    (room / "graph" / "mine.py").write_text("class Graph:\n    A = [[1.0]]\n")
    trap = f"import pathlib\npathlib.Path({str(tmp_path / 'X')!r}).touch()\nfrom torch.nn import Linear as Model\n"
    for name in ("lib/elsewhere/network.py", "lib/package/__init__.py", "lib/package/network.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(trap)
    (room / "work_dir").mkdir()
    (room / "work_dir" / "network.py").write_text(trap)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.chdir(room)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("elsewhere", "package", "work_dir")]:
        del sys.modules[name]


def train(places: Path, settings: dict, *more: str) -> int:
    config = places / "stranger.yaml"
    config.write_text(yaml.safe_dump(settings))
    argv = toy_room.arguments(places / "work", "--num-epoch", "1", "--config", str(config), *more)
    for flag in [name for name in ("model", "feeder") if name in settings]:  # explicit flags would win
        at = argv.index(f"--{flag}")
        del argv[at : at + 2]
    if "model_args" in settings and "model" not in settings:
        argv[argv.index("model.toy_net.Model")] = "model.my.Model"
    return toy_room.call(places / "room", argv)


@pytest.mark.parametrize("name", STRANGERS)
def test_main_runs_no_strangers_code(name, places, capsys):
    code = train(places, STRANGERS[name])
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    assert not list(places.rglob("X"))
    assert not {"elsewhere.network", "package", "work_dir.network"} & set(sys.modules)


@pytest.mark.parametrize("module", ["os", "posix", "sys", "builtins"])
def test_what_python_contains_is_not_of_the_room_in_its_folder(module, places, capsys):
    """``built-in`` and ``frozen`` are no paths, though they would be ones in the current folder."""
    with trust.opened(Path.cwd()):
        assert trust.foreign(module) and trust.foreign("graph.mine") is None
        assert not trust.of_here(print) and not trust.of_here(dict)
    assert train(places, {"model_args": {"norm": f"{module}.system"}}) == 2
    assert f"norm '{module}.system' names code" in capsys.readouterr().err


def test_antigravity_is_not_imported(places, capsys):
    assert train(places, {"model": "antigravity.Model"}) == 2
    assert "antigravity" not in sys.modules and "--trust-code" in capsys.readouterr().err


def test_own_classes_need_no_flag(places):
    settings = {"model_args": {"graph": "graph.mine.Graph", "norm": "batch.norm", "file": "os.pt"}}
    assert train(places, settings) == 0
    assert train(places, {"model": "model.my.small"}) == 0


def test_an_unannotated_function_is_refused(places, capsys):
    assert train(places, {"model": "model.my.unknown"}) == 2
    assert "annotated" in capsys.readouterr().err


def test_trust_code(places):
    (places / "lib" / "elsewhere" / "network.py").write_text(OWN)
    assert train(places, {"model": "elsewhere.network.Model"}, "--trust-code") == 0
    saved = yaml.safe_load((places / "work" / "config.yaml").read_text())
    assert saved["trust_code"] is False and not trust.everything()


def test_a_configuration_cannot_trust_itself(places, capsys):
    assert train(places, {"model": "elsewhere.network.Model", "trust_code": True}) == 2
    assert "command line" in capsys.readouterr().err and not list(places.rglob("X"))


def test_a_link_to_ones_own_network_is_of_the_room(places):
    (places / "kept").mkdir()
    (places / "kept" / "linked.py").write_text(OWN)
    (places / "room" / "model" / "linked.py").symlink_to(places / "kept" / "linked.py")
    assert train(places, {"model": "model.linked.Model"}) == 0


SEVEN = {"model": "os.system", "model_args": {"command": "touch X"}, "feeder": "feeders.feeder_ntu.Feeder"}


def programs(config: str, weights: str):
    room = registry.find("CTR-GCN").path
    recipe = registry.find("CTR-GCN").recipe
    shared = ["--config", config, "--weights", weights]
    yield lambda: run(
        registry.find("C").recipe, str(room / "main.py"), [*shared, "--work-dir", "w", "--phase", "model_size"]
    )
    yield lambda: inference.run(recipe, str(room / "predict.py"), [*shared, "--input", weights])
    yield lambda: extract.main(["--room", "CTR-GCN", *shared, "--archive", weights])


@pytest.mark.parametrize("which", range(3))
def test_every_program(which, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(yaml.safe_dump(SEVEN))
    Path("w.pt").write_bytes(b"")
    with registry.room("CTR-GCN"):
        code = list(programs("c.yaml", "w.pt"))[which]()
    err = capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1 and "os.system" in err and not Path("X").exists()


def test_cost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(yaml.safe_dump(SEVEN))
    with pytest.raises(UsageError, match=r"os\.system"):
        recipes.build(recipes.parser().parse_args(["--room", "CTR-GCN", "--config", "c.yaml"]))
    assert not Path("X").exists()


def test_published_networks_check_their_graph():
    for room, name, arguments in (
        ("CTR-GCN", "model.ctrgcn.Model", {}),
        ("MS-G3D", "model.msg3d.Model", {"num_class": 4, "num_point": 25, "num_person": 2, "num_gcn_scales": 2,
                                         "num_g3d_scales": 2}),
        ("FreqMixFormer", "model.skefreqmixformer.Model", {}),
        ("Hyper-GCN", "model.hypergcn_base.Model", {"hyper_joints": 0}),
    ):  # fmt: skip
        with registry.room(room), pytest.raises(UsageError, match=r"subprocess\.Popen"):
            importing.import_class(name, "model")(graph="subprocess.Popen", **arguments)


@pytest.mark.parametrize("name", ["os", ".x", "a..b", "a b.c", "", "model.ctrgcn.Model()"])
def test_what_is_no_dotted_name(name):
    with pytest.raises(UsageError, match="dotted"):
        importing.import_class(name, "model")
