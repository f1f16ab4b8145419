"""Networks that see how long a clip is: what is behind it is as in the training, whoever else is asked about."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import own_networks
import pytest
import torch

from skeleton_lab import registry
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.predict import predict
from skeleton_lab.inference.wishes import Wishes

FRAMES = 24  # of the archive's clips


@pytest.fixture(scope="module", params=["coco17", None], ids=["coco17", "ntu25"])
def trained(request, tmp_path_factory) -> Namespace:
    """An untrained ST-GCN, which takes clips as they are, and the clips (N, C, T, V, M) of its archive."""
    folder, V = tmp_path_factory.mktemp("lengths"), 17 if request.param else 25
    rng = np.random.default_rng(0)
    x = rng.normal(1, 1, (3, 3, FRAMES, V, 2)).astype(np.float32)
    x[:, :, 18:], x[..., 1] = 0, 0
    if request.param:
        x[:, 2, :18, :, 0] = 0.9
        words = {"skeleton": "coco17", "channels": "xys", "units": "px"}
    else:  # in metres, the middle of the spine at the origin, as archives of NTU RGB+D have them
        x[:, :, :18, :, 0] -= x[:, :, :1, 1:2, 0]
        words = {"skeleton": "ntu25"}
    np.savez(folder / "own.npz", x_train=x, y_train=np.arange(3), x_test=x, y_test=np.arange(3), **words)
    own_networks.stgcn(folder, 3, skeleton=request.param)
    room = registry.find("ST-GCN")
    with registry.room("ST-GCN"):
        network = Network(room.recipe, room.path, folder / "config.yaml", folder / "net.pt", "cpu")
    keypoints = request.param or "ntu25"

    def ask(given, **wishes):
        if isinstance(given, np.ndarray):
            wishes["keypoints"] = keypoints
        with registry.room("ST-GCN"), torch.no_grad():
            return [row.logits for row in predict(network, given, Wishes(**wishes), "").rows]

    return Namespace(ask=ask, archive=folder / "own.npz", recordings=x[:, :, :18, :, 0].transpose(0, 2, 3, 1))


def test_recordings_are_padded_as_the_archive_of_the_training(trained):
    """A clip of the archive is told the same where it comes as key points."""
    for logits, recording in zip(trained.ask(trained.archive), trained.recordings):
        np.testing.assert_allclose(trained.ask(recording, window=0)[0], logits, atol=1e-5)


def test_a_longer_window_changes_no_other(trained):
    """52 frames in windows of 24: the last one is longer, and the first says what the first 24 frames say alone."""
    long = np.concatenate(trained.recordings)[:52]
    first, *_, last = trained.ask(long, window=24)
    np.testing.assert_allclose(first, trained.ask(long[:24], window=0)[0], atol=1e-5)
    np.testing.assert_allclose(last, trained.ask(long[24:], window=0)[0], atol=1e-5)
