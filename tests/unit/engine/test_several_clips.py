"""Several clips of a sample: averaged as PYSKL does, in passes of the usual size, and drawn as one."""

from __future__ import annotations

import numpy as np
import pyskl_clips
import pytest
import torch
from torch import nn

from skeleton_lab import registry
from skeleton_lab.engine import score_files
from skeleton_lab.engine.evaluate import average, evaluate
from skeleton_lab.errors import UsageError

Feeder = registry.load("PYSKL", "feeders.feeder_pyskl.Feeder")
CLIPS = 3


class Network(nn.Module):
    """(N, M, T, V, C) to logits; remembers how many clips it has seen at once."""

    def __init__(self, classes: int = 60) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * 16 * 25 * 3, classes)
        self.sizes: list[int] = []

    def forward(self, x):
        self.sizes.append(len(x))
        return self.fc(x.flatten(1)) * 3


@pytest.fixture(scope="module")
def feeder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "bodies.pkl"
    pyskl_clips.make_pickle(path)
    return lambda **arguments: Feeder(str(path), "xsub_train", test_mode=True, window_size=16, **arguments)


@pytest.mark.parametrize("mode", ["prob", "score"])
def test_the_mean_of_the_clips(feeder, mode):
    torch.manual_seed(0)
    net, data = Network(), feeder(num_clips=CLIPS, average_clips=mode)
    result = evaluate(net, data, batch_size=4, topk=[1])
    assert max(net.sizes) == 4 and sum(net.sizes) == CLIPS * len(data)
    for index in range(len(data)):
        each = net(torch.from_numpy(data[index][0])).double()
        told = result.logits[index].double()
        if mode == "prob":
            torch.testing.assert_close(told.exp(), each.softmax(1).mean(0), rtol=1e-4, atol=1e-6)
        else:
            torch.testing.assert_close(told, each.mean(0), rtol=1e-4, atol=1e-5)
    assert result.labels.tolist() == data.label.tolist()


def test_one_clip_is_as_it_was(feeder):
    torch.manual_seed(0)
    net, data = Network(), feeder(num_clips=1)
    expected = net(torch.stack([torch.from_numpy(data[index][0]) for index in range(len(data))]))
    torch.testing.assert_close(evaluate(net, data, batch_size=4).logits, expected)


def test_the_hardest_clips_are_drawn_in_the_axes_of_the_viewer(feeder, tmp_path):
    data = feeder(num_clips=CLIPS)
    logits = np.eye(60, dtype=np.float32)[(data.label + 1) % 60]
    score_files.write_evaluation(tmp_path, data, logits, data.label, 1)
    with np.load(tmp_path / "hardest.npz") as file:
        drawn, index = file["data"], file["index"]
    assert drawn.shape == (len(data), 3, 16, 25, 2)
    np.testing.assert_array_equal(drawn[0], data[int(index[0])][0][0].transpose(3, 1, 2, 0))


def test_an_unknown_average():
    with pytest.raises(UsageError, match="'prob' or 'score'"):
        average(torch.zeros(1, 2, 3), "max")
