"""Networks and feeders as people bring them: the field's import helper, lists of heads, items of several inputs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_data
import torch
import torch.nn.functional as F
import toy_room
import yaml
from parity.kaggle_sample import make_kaggle_arrays
from toy_room import torchrun

from skeleton_lab import inference, registry
from skeleton_lab.cost import counting
from skeleton_lab.engine import run, smoke
from skeleton_lab.engine.losses import Criterion, logits_of
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.penultimate import WithFeatures
from skeleton_lab.skeletons import graph_tools
from skeleton_lab.utils import trust

HELPER = """
def import_class(name):
    components = name.split('.')
    mod = __import__(components[0])
    for comp in components[1:]:
        mod = getattr(mod, comp)
    return mod
"""
# in the manner of the field's repositories: two streams, each with a head of its own, output a list
STREAMS = (
    HELPER
    + """
import torch
import torch.nn as nn


class Stream(nn.Module):
    def __init__(self, channels, A):
        super().__init__()
        self.A = nn.Parameter(A.clone())
        self.conv = nn.Conv2d(channels, 3 * 8, 1)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x):
        n, _, t, v = x.shape
        y = torch.einsum('hvu,nhctu->nctv', self.A, self.conv(x).view(n, 3, 8, t, v))
        return torch.relu(self.bn(y)).mean((2, 3))


class Model(nn.Module):
    def __init__(self, num_class=60, num_point=25, num_person=2, k=8, eta=4, num_stream=2, graph=None,
                 graph_args=dict(), in_channels=3, drop_out=0):
        super(Model, self).__init__()
        if graph is None:
            raise ValueError()
        else:
            Graph = import_class(graph)
            self.graph = Graph(**graph_args)
        A = torch.from_numpy(self.graph.A).float()
        self.data_bn = nn.BatchNorm1d(num_person * in_channels * num_point)
        self.streams = nn.ModuleList([Stream(in_channels, A) for _ in range(num_stream)])
        self.fc = nn.ModuleList([nn.Linear(8, num_class) for _ in range(num_stream)])

    def forward(self, x):
        N, C, T, V, M = x.size()
        x = x.permute(0, 4, 3, 1, 2).contiguous().view(N, M * V * C, T)
        x = self.data_bn(x).view(N, M, V, C, T).permute(0, 1, 3, 4, 2).contiguous().view(N * M, C, T, V)
        out = []
        for stream, fc in zip(self.streams, self.fc):
            out.append(fc(stream(x).view(N, M, -1).mean(1)))
        return out
"""
)
GRAPH = """
import sys
import numpy as np

sys.path.extend(['../'])
from graph import tools
from graph.tools import edge2mat, normalize_digraph

num_node = 25
self_link = [(i, i) for i in range(num_node)]
inward_ori_index = [(1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10),
                    (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (22, 23),
                    (23, 8), (24, 25), (25, 12)]
inward = [(i - 1, j - 1) for (i, j) in inward_ori_index]
outward = [(j, i) for (i, j) in inward]


class Graph:
    def __init__(self, labeling_mode='spatial', scale=1):
        self.A = tools.get_spatial_graph(num_node, self_link, inward, outward)
        self.A_binary = tools.edge2mat(inward + outward, num_node)
        self.A_norm = tools.normalize_adjacency_matrix(self.A_binary + 2 * np.eye(num_node))
        self.A_binary_K = tools.get_k_scale_graph(scale, self.A_binary)
"""


@pytest.fixture
def ctrgcn(tmp_path, monkeypatch):
    """A copy of CTR-GCN's room with a published-style network and graph file in it, and a small archive."""
    room = tmp_path / "CTR-GCN"
    for name in ("model", "graph", "feeders", "config"):
        shutil.copytree(registry.find("CTR-GCN").path / name, room / name)
    (room / "model" / "streams.py").write_text(STREAMS)
    (room / "graph" / "published.py").write_text(GRAPH)
    np.savez(room / "few.npz", **{k: v[:, : tiny_data.FRAMES] if k[0] == "x" else v
                                  for k, v in make_kaggle_arrays().items()})  # fmt: skip
    monkeypatch.chdir(room)
    path = list(sys.path)
    yield room
    sys.path[:] = path
    for name in [n for n in sys.modules if n.partition(".")[0] in ("model", "feeders", "graph")]:
        del sys.modules[name]


@pytest.mark.parametrize("graph", ["graph.ntu_rgb_d.Graph", "graph.published.Graph"])
def test_a_published_network_runs_in_the_room(ctrgcn, graph):
    feeder = {"data_path": "few.npz", "window_size": 16, "p_interval": [0.95]}
    settings = {
        "model": "model.streams.Model", "model_args": {"graph": graph, "graph_args": {"labeling_mode": "spatial"}},
        "feeder": "feeders.feeder_ntu.Feeder", "train_feeder_args": {**feeder, "split": "train"},
        "test_feeder_args": {**feeder, "split": "test"}, "batch_size": 6, "num_epoch": 1, "num_worker": 0,
        "device": "cpu", "save_score": True,
    }  # fmt: skip
    Path("c.yaml").write_text(yaml.safe_dump(settings))
    assert run(registry.find("C").recipe, str(ctrgcn / "main.py"), ["--config", "c.yaml", "--work-dir", "w"]) == 0
    assert Path("w/report.html").exists() and Path("w/epoch1_test_score.pkl").exists()
    weights = next(Path("w").glob("runs-1-*.pt"))
    argv = ["--config", "w/config.yaml", "--work-dir", "t", "--phase", "test", "--weights", str(weights)]
    assert run(registry.find("C").recipe, str(ctrgcn / "main.py"), argv) == 0
    first, again = (np.load(f"{folder}/evaluation.npz")["logits"] for folder in "wt")
    np.testing.assert_allclose(first, again, rtol=1e-5, atol=1e-6)
    given = [
        "--config",
        "w/config.yaml",
        "--weights",
        str(weights),
        "--input",
        "few.npz",
        "--output",
        "p",
        "--together",
    ]
    assert inference.run(registry.find("C").recipe, str(ctrgcn / "predict.py"), given) == 0
    rows = json.loads(Path("p/predictions.json").read_text())["clips"]
    assert len(rows) == len(first)
    with trust.opened(ctrgcn):
        network = Network(registry.find("CTR-GCN").recipe, ctrgcn, Path("w/config.yaml"), weights, "cpu")
        network.model = WithFeatures(network.model)
        both = network.logits(network.archive_feeder(Path("few.npz"), "test", None, None))
    np.testing.assert_allclose(both[:, :60], first, rtol=1e-5, atol=1e-6)
    assert both.shape[1] == 60 + 2 * 8, "logits, and the vectors in front of both classifiers"


@pytest.mark.parametrize("room", [room.folder for room in registry.ROOMS if room.program])
def test_every_room_answers_the_fields_helper(room):
    space: dict = {}
    exec(HELPER, space)
    settings = yaml.safe_load((registry.find(room).path / registry.find(room).config).read_text())
    names = [settings["model"], settings["feeder"], settings["model_args"].get("graph", "graph.skeleton.Graph")]
    with registry.room(room):
        for name in [*names, "graph.tools.get_spatial_graph"]:
            assert space["import_class"](name).__name__ == name.rpartition(".")[2]
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            space["import_class"]("graph.nothing.Graph")


def test_graph_tools():
    """By hand, on a chain 0 - 1 - 2 whose root is 0."""
    inward, outward, loops = [(1, 0), (2, 1)], [(0, 1), (1, 2)], [(i, i) for i in range(3)]
    A = graph_tools.edge2mat(inward + outward, 3)
    assert graph_tools.edge2mat(inward, 3).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert graph_tools.get_hop_distance(3, inward, 1)[0].tolist() == [0, 1, np.inf]
    assert graph_tools.get_hop(3, inward, 2)[0].tolist() == [0, 1, 2]
    assert graph_tools.get_k_scale_graph(2, A).tolist() == [[1, 1, 1]] * 3 and graph_tools.get_k_scale_graph(1, A) is A
    assert graph_tools.k_adjacency(A, 2).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert graph_tools.k_adjacency(A, 2, with_self=True)[1, 1] == 1 and graph_tools.k_adjacency(A, 0).trace() == 3
    assert graph_tools.normalize_digraph(A)[:, 1].tolist() == [0.5, 0, 0.5]
    assert graph_tools.normalize_adjacency_matrix(A)[0, 1] == pytest.approx(0.5**0.5)
    assert graph_tools.get_spatial_graph(3, loops, inward, outward).shape == (3, 3, 3)
    assert graph_tools.get_multiscale_spatial_graph(3, loops, inward, outward)[3].tolist() == [
        [0, 0, 1],
        [0] * 3,
        [0] * 3,
    ]
    assert graph_tools.get_uniform_graph(3, loops, inward + outward).sum(0).tolist() == [1, 1, 1]
    assert graph_tools.get_sgp_mat(3, 2, [(0, 0), (1, 0), (2, 1)]).tolist() == [[0.5, 0], [0.5, 0], [0, 1]]
    groups = graph_tools.get_groups("NTU", 21)
    assert (
        groups[:2] == [[21], [2, 3, 5, 9]]
        and sorted(joint for group in groups for joint in group) == list(range(1, 26))
        and len(groups) == 7
    )
    H = graph_tools.get_hierarchical_graph(25, graph_tools.get_edgeset("NTU", 21))
    assert H.shape == (6, 3, 25, 25) and H[0, 1, 1, 20] == 1 / 4 and H[0, 2, 20, 1] == 1
    with pytest.raises(UsageError, match="CoM"):
        graph_tools.get_groups("NTU", 99)


HEADS = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, num_class=4, form='list'):
        super().__init__()
        self.form = form
        self.one, self.two = nn.Linear(15, num_class), nn.Linear(15, num_class)

    def forward(self, x, d=None, index_t=None):
        x = x.mean(2).flatten(1)
        heads = [self.one(x), self.two(x if d is None else d.mean(2).flatten(1))]
        return {'list': heads, 'tuple': (heads, x), 'dict': {'logits': heads[0]}}[self.form]
"""
PAIRED = """
from feeders.toy_feeder import Feeder as Base


class Feeder(Base):
    '''Items ((x, d), label, index), and a choice of clips.'''

    def __getitem__(self, i):
        x, *rest = super().__getitem__(i)
        return (x, -x), *rest

    def restrict(self, indices):
        self.label = [self.label[i] for i in indices]
        self.sample_name = [self.sample_name[i] for i in indices]
        self.data = self.data[indices]
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    room = toy_room.make_room(tmp_path / "room")
    (room / "model" / "heads.py").write_text(HEADS)
    (room / "feeders" / "paired.py").write_text(PAIRED)
    monkeypatch.chdir(room)

    def call(*more: str, work: str = "work", program: str = "C", **data: str) -> tuple[int, Path]:
        argv = toy_room.arguments(tmp_path / work, *more, **data)
        argv[argv.index("model.toy_net.Model")] = "model.heads.Model"
        if "paired" in work:
            argv[argv.index("feeders.toy_feeder.Feeder")] = "feeders.paired.Feeder"
        return toy_room.call(room, argv, program), tmp_path / work

    call.room = room
    return call


def test_a_list_of_heads_sums_losses_and_logits():
    torch.manual_seed(0)
    heads, y = [torch.randn(5, 4) for _ in range(3)], torch.arange(5) % 4
    wanted = sum(F.cross_entropy(head, y, label_smoothing=0.1) for head in heads)
    for output in (heads, (heads, "extra"), [(heads[0], 1), *heads[1:]]):
        torch.testing.assert_close(Criterion(0.1)(output, y), wanted)
        torch.testing.assert_close(logits_of(output), heads[0] + heads[1] + heads[2])
    assert torch.equal(logits_of((heads[0], heads[1])), heads[0])


def test_both_heads_learn_and_count(lab):
    code, work = lab("--num-epoch", "1", "--save-score", "True")
    assert code == 0
    start = torch.load(next(work.glob("runs-1-*.pt")), weights_only=True)
    code, later = lab("--num-epoch", "2", work="later")
    end = torch.load(next(later.glob("runs-2-*.pt")), weights_only=True)
    assert all(not torch.equal(start[f"{head}.weight"], end[f"{head}.weight"]) for head in ("one", "two"))
    found = np.load(work / "evaluation.npz")
    event = toy_room.events(work, "eval")[-1]
    alone = F.cross_entropy(torch.tensor(found["logits"]), torch.tensor(found["labels"])).item()
    assert event["loss"] > 1.3 * alone, "the sum of two heads' losses, not the loss of their sum"
    assert lab("--model-args", "form=tuple", work="tuple")[0] == 0


def test_a_dictionary_is_one_line(lab, capsys):
    code, _ = lab("--model-args", "form=dict")
    err = capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1 and "dict" in err


@pytest.mark.parametrize("more", [(), ("--forward-batch-size", "2"), ("--classes", "0-2"), ("--num-worker", "2")])
def test_items_of_several_inputs(lab, more):
    code, work = lab(*more, "--report", "True", "--base-lr", "0.001", work="paired")
    assert code == 0 and (work / "report.html").exists()
    assert np.load(work / "hardest.npz")["data"].shape[1:] == (3, 4, 5, 1), "the first input is what the report shows"
    weights = next(work.glob("runs-2-*.pt"))
    assert lab(*more, "--phase", "test", "--weights", str(weights), work="paired_test")[0] == 0


def test_several_inputs_resume_and_run_in_parallel(lab, tmp_path):
    _, whole = lab("--num-epoch", "3", work="paired")
    lab("--num-epoch", "1", work="paired_2")
    code, resumed = lab("--num-epoch", "3", "--resume", work="paired_2")
    files = [next(work.glob("runs-3-*.pt")) for work in (whole, resumed)]
    assert code == 0 and toy_room.same(*map(toy_room.weights, files))
    argv = toy_room.arguments(tmp_path / "two", "--num-epoch", "3", "--model", "model.heads.Model", "--feeder",
                              "feeders.paired.Feeder")  # fmt: skip
    done = torchrun(lab.room, argv)
    assert done.returncode == 0, done.stderr
    a, b = (np.load(work / "evaluation.npz")["logits"] for work in (whole, tmp_path / "two"))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_cost_and_smoke_take_heads(lab):
    space: dict = {}
    exec(HEADS, space)
    net, x, y = space["Model"](), torch.randn(4, 3, 4, 5, 1), torch.arange(4)
    assert counting.measure(net, x, y).parameters == 2 * 16 * 4
    before = net.two.weight.clone()
    smoke.sgd_step(net, x, y)
    assert not torch.equal(before, net.two.weight)
