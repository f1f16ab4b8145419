"""FreqMixFormer's feeders: the shared ones under the published names, with UAV-Human and the bones of 17 joints."""

from __future__ import annotations

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES

from skeleton_lab import registry
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.errors import ArchiveError
from skeleton_lab.skeletons import bones as streams

Feeder = registry.load("FreqMixFormer", "feeders.feeder_ntu.Feeder")
UAV = registry.load("FreqMixFormer", "feeders.feeder_uav.Feeder")
UCLA = registry.load("FreqMixFormer", "feeders.feeder_ucla.Feeder")


@pytest.mark.parametrize("name", cases.names("freqmixformer/test"))
def test_fixture(name, archive):
    cases.verify_item(Feeder(archive, **CASES[name]["args"]), CASES[name])


@pytest.mark.parametrize("name", cases.names("freqmixformer/ucla"))
def test_fixture_ucla(name):
    fed = UCLA(**CASES[name]["args"], root=str(cases.recordings()))
    assert fed.clips.names[CASES[name]["index"]] == CASES[name]["file"]
    cases.verify_item(fed, CASES[name])


def test_bones_are_of_the_right_skeleton(archive, tmp_path):
    """The published pair file holds UAV-Human's 17 joints only, for 25 joints too."""
    arguments = {"split": "test", "window_size": 64, "p_interval": [0.95]}
    joints, bones = (Feeder(archive, **arguments, bone=bone)[1][0] for bone in (False, True))
    np.testing.assert_allclose(bones, joints - joints[:, :, streams.NTU], atol=1e-6)
    x = np.random.default_rng(0).standard_normal((4, 30, 102)).astype(np.float32)
    labels = np.eye(155)[:4]
    np.savez(tmp_path / "uav.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    joints, bones = (UAV(str(tmp_path / "uav.npz"), **arguments, bone=bone)[1][0] for bone in (False, True))
    assert joints.shape == (3, 64, 17, 2)
    np.testing.assert_allclose(bones, joints - joints[:, :, streams.UAV], atol=1e-6)
    assert (bones[:, :, [0, 3, 6, 9, 12, 15, 16]] == 0).all()
    with pytest.raises(ArchiveError, match="17"):
        UAV(archive, **arguments)
    training = UAV(str(tmp_path / "uav.npz"), window_size=32, p_interval=[0.5, 1], random_rot=True, vel=True)
    batch = training.__getitems__(Batch(range(4)))[0]
    assert all(torch.equal(batch[i], torch.from_numpy(training[i][0])) for i in range(4))
