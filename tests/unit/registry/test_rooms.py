"""Rooms: found by any of their names, kept apart from each other."""

from __future__ import annotations

import concurrent.futures
import importlib
import sys

import pytest

from skeleton_lab import registry
from skeleton_lab.errors import UsageError


@pytest.mark.parametrize("name", ["CTR-GCN", "ctr-gcn", "ctrgcn", "C"])
def test_names(name):
    assert registry.find(name).folder == "CTR-GCN"


def test_unknown_room_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'CTR-GCN'"):
        registry.find("CTR-GNC")


def test_nothing_is_no_room():
    """The zero-shot rooms have no letter."""
    with pytest.raises(UsageError, match="there is no room ''"):
        registry.find("")


def test_names_and_images_are_unique():
    for field in ("folder", "image"):
        assert len({getattr(room, field) for room in registry.ROOMS}) == len(registry.ROOMS)


def test_a_room_leaves_nothing_behind():
    path, modules = list(sys.path), set(sys.modules)
    Graph = registry.load("CTR-GCN", "graph.ntu_rgb_d.Graph")
    assert sys.path == path
    assert not {m for m in set(sys.modules) - modules if m.split(".")[0] in ("graph", "model", "feeders")}
    assert registry.load("CTR-GCN", "graph.ntu_rgb_d.Graph") is Graph


def test_two_rooms_with_the_same_module_names(tmp_path, monkeypatch):
    table = []
    for name in ("One", "Two"):
        (tmp_path / name / "net").mkdir(parents=True)
        (tmp_path / name / "net" / "thing.py").write_text(f"class Model:\n    name = '{name}'\n")
        table.append(registry.Room(name, name.lower(), None))
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "ROOMS", tuple(table))
    one, two = registry.load("One", "net.thing.Model"), registry.load("Two", "net.thing.Model")
    assert (one.name, two.name) == ("One", "Two")
    with registry.room("One"):
        outer = sys.modules["net.thing"]
        with registry.room("Two"):
            from net.thing import Model

            assert Model is two
        assert sys.modules["net.thing"] is outer
        assert registry.load("One", "net.thing.Model") is one and sys.modules["net.thing"] is outer


def test_modules_of_the_caller_with_the_same_names_are_back_afterwards(tmp_path, monkeypatch):
    """A notebook with a ``model`` of its own."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").write_text("")
    (tmp_path / "model" / "own.py").write_text("import graph\n")
    (tmp_path / "graph.py").write_text("MINE = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("model.own")
    try:
        with registry.room("MS-G3D"):
            assert registry.import_class("model.msg3d.Model").__module__ == "model.msg3d"
            assert not hasattr(importlib.import_module("graph"), "MINE")
        assert importlib.import_module("model.own") is own and importlib.import_module("graph").MINE
    finally:
        for name in ("model", "model.own", "graph"):
            sys.modules.pop(name, None)


@pytest.mark.slow
def test_threads_open_rooms_one_after_the_other():
    def work(names):
        return [registry.load(*name) for name in names]

    wanted = [
        ("CTR-GCN", "model.ctrgcn.Model"), ("MS-G3D", "model.msg3d.Model"), ("ST-GCN", "net.st_gcn.Model"),
        ("Hyper-GCN", "model.hypergcn_base.Model"),
    ]  # fmt: skip
    modules, path = set(sys.modules), list(sys.path)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = list(pool.map(work, [wanted[k:] + wanted[:k] for k in range(4)] * 5))
    assert made[:4] == made[4:8] and made[0] == work(wanted)
    assert [each.__module__ for each in made[0]] == [name.rpartition(".")[0] for _, name in wanted]
    assert sys.path == path and not {
        m for m in set(sys.modules) - modules if m.split(".")[0] in ("graph", "model", "net")
    }


def test_absent_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    with pytest.raises(UsageError, match="is not here"), registry.room("CTR-GCN"):
        pass


def test_class_that_does_not_exist():
    with pytest.raises(UsageError, match=r"model\.nothing"):
        registry.load("CTR-GCN", "model.nothing.Model")
    with pytest.raises(UsageError, match="Modell"):
        registry.load("CTR-GCN", "model.ctrgcn.Modell")
