"""What a file does to key points is what the test feeder does to clips."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.ntu import NTUFeeder
from skeleton_lab.data.feeders.padded import ReadClip, WholeClipFeeder
from skeleton_lab.errors import UsageError
from skeleton_lab.export import comparing, example, tracing
from skeleton_lab.export.preprocessing import preprocessing
from skeleton_lab.inference.keypoints.normalise import centred
from skeleton_lab.inference.onnx_network import OnnxNetwork
from skeleton_lab.skeletons import layouts

LENGTHS = (40, 23, 31)


def network(**arguments):
    given = {"generated": False, "padded": 40, "options": SimpleNamespace(feeder="feeder"), "arguments": arguments}
    return SimpleNamespace(**given)


def people(V: int, C: int) -> list[np.ndarray]:
    """Clips (T, M, V, C) of several lengths; the second person comes late, and is missing from the last clip."""
    random = np.random.default_rng(1)
    clips = [3 + random.normal(size=(T, 2, V, C)).astype(np.float32) for T in LENGTHS]
    clips[0][:5, 1], clips[2][:, 1] = 0, 0
    return clips


def both(feeder, raw: list[np.ndarray], net) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's input by the feeder, and by the layers that a file has, of key points."""
    keypoints = np.zeros((len(raw), max(LENGTHS), *raw[0].shape[1:]), np.float32)
    for row, clip in zip(keypoints, raw):
        row[: len(clip)] = clip
    return preprocessing(net, feeder)(torch.from_numpy(keypoints)), by_feeder(feeder)


def by_feeder(feeder) -> torch.Tensor:
    return feeder.inputs(feeder.work(Batch(range(len(feeder)))))[0]


def estimated() -> NTUFeeder:
    """Pixels of 17 joints, some of which were not found; somebody without hips; somebody seen badly all the time."""
    random = np.random.default_rng(2)
    raw = [100 * clip for clip in people(17, 3)]
    for clip in raw:
        clip[..., 2] = clip.any((2, 3))[..., None] * random.uniform(0.1, 1, clip.shape[:3])
        clip[(clip[..., 2] < 0.2) & (clip[..., 2] > 0)] = 0
    raw[0][:, 0, 11:13, 2], raw[1][:, 1, :, 2] = 0.2, 0.25 * raw[1][:, 1, :, 0].astype(bool)
    clips = stored(raw, skeleton=layouts.layout("coco17"), units="px", scored=True)
    return NTUFeeder(clips, p_interval=1, window_size=16, bone=True)


def stored(clips: list[np.ndarray], **said) -> ArrayClips:
    made = ArrayClips([clip.transpose(3, 0, 2, 1) for clip in clips], length=40)
    for name, value in said.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("bone", [False, True])
@pytest.mark.parametrize("vel", [False, True])
def test_crop_and_streams(bone, vel):
    """People in metres are centred by predict and read by the feeder of NTU RGB+D."""
    raw = people(25, 3)
    feeder = NTUFeeder(stored([centred(clip) for clip in raw]), p_interval=[0.95], window_size=16, bone=bone, vel=vel)
    torch.testing.assert_close(*both(feeder, raw, network()), rtol=1e-5, atol=1e-5)


def test_another_skeleton_is_placed():
    """Pixels and scores of 17 joints, about the body, in lengths of the torso, turned upright."""
    raw = people(17, 3)
    for clip in raw:
        clip[..., 2] = clip.any((2, 3))[..., None] * 0.9
    clips = stored(raw, skeleton=layouts.layout("coco17"), units="px", scored=True)
    feeder = NTUFeeder(clips, p_interval=1, window_size=16, bone=True)
    assert feeder.placed
    torch.testing.assert_close(*both(feeder, raw, network()), rtol=1e-4, atol=1e-4)


def test_what_an_estimator_missed_tells_no_length():
    """Of key points that were filled in before; joints that were not found are still known by their scores."""
    feeder = estimated()
    given = example.keypoints(feeder, 3)["keypoints"]
    found = given[..., 2] >= 0.3
    assert torch.equal(given[found], torch.from_numpy(feeder.clips.gather(np.arange(3), whole(3)))[found])
    torch.testing.assert_close(preprocessing(network(), feeder)(given), by_feeder(feeder), rtol=1e-4, atol=1e-4)


def test_the_file_of_another_skeleton_places_as_the_layers_do():
    """As onnxruntime runs the graph: its sort is the plain one, which has no flag ``stable``."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    feeder = estimated()

    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 4)).flatten(1)

    given = example.keypoints(feeder, 3)
    net = tracing.answer(Mean(), preprocessing(network(), feeder))
    running = comparing.session(tracing.graph(net, given, [1], 18))
    (made,) = running.run(None, {name: x.numpy() for name, x in given.items()})
    torch.testing.assert_close(torch.from_numpy(made), Mean()(by_feeder(feeder)), rtol=1e-4, atol=1e-4)


def whole(count: int) -> np.ndarray:
    return np.broadcast_to(np.arange(max(LENGTHS)), (count, max(LENGTHS)))


def test_whole_clips_are_padded():
    raw = people(25, 3)
    feeder = WholeClipFeeder(stored([centred(clip) for clip in raw]), ReadClip())
    made, expected = both(feeder, raw, network())
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)


def test_a_file_of_whole_clips_takes_no_longer_ones():
    """It would leave out their end, where the feeder leaves out nothing."""
    feeder = WholeClipFeeder(stored([centred(clip) for clip in people(25, 3)]), ReadClip())
    takes = SimpleNamespace(get_inputs=lambda: [SimpleNamespace(shape=["batch", "frames", 2, 25, 3])])
    file = SimpleNamespace(session=takes, padded=40, persons=2, path="net.onnx")
    assert OnnxNetwork.keypoints(file, feeder, Batch([0])).shape == (1, 40, 2, 25, 3)
    file.padded = 39
    with pytest.raises(UsageError, match="takes clips of up to 39 frames, and one has 40"):
        OnnxNetwork.keypoints(file, feeder, Batch([0]))


def test_keypoints_of_clips_are_as_stored():
    raw = people(25, 3)
    feeder = NTUFeeder(stored(raw), p_interval=1, window_size=16)
    made = example.keypoints(feeder, 4)["keypoints"]
    assert made.shape == (4, 40, 2, 25, 3)
    assert np.array_equal(made[1, :23].numpy(), raw[1]) and not made[1, 23:].any()
    assert torch.equal(made[3], made[0])


def test_other_steps_are_refused():
    """By their name: random frames, a step that no file knows, an archive that was changed before."""
    clips = stored(people(25, 3))

    def turned(work):
        pass

    feeder = NTUFeeder(clips, p_interval=1, window_size=16)
    feeder.steps.append(turned)
    with pytest.raises(UsageError, match="does 'turned'"):
        preprocessing(network(), feeder)
    with pytest.raises(UsageError, match="does 'Crop'"):
        preprocessing(network(), NTUFeeder(clips, p_interval=[0.5, 1], window_size=16))
    with pytest.raises(UsageError, match="changed before"):
        preprocessing(network(normalization=True), NTUFeeder(clips, p_interval=1, window_size=16))
