"""The names of ``skeleton_lab`` itself: networks, data sets, evaluation and predictions by the name of a paper."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from places import ROOT
from sandbox import FEW, Lab
from tiny_data import FRAMES, make_all

import skeleton_lab as lab
from skeleton_lab import registry
from skeleton_lab.errors import ArchiveNotFoundError, FeederArgumentError, LabError, UsageError, WeightsError
from skeleton_lab.nn.fuse import is_fused
from skeleton_lab.utils.importing import import_class

SUPERVISED = [each.name for each in registry.MODELS if each.config]
SMALL = {"window_size": 16}  # where the network takes any; other feeders take clips as they are, of 24 frames


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_all(tmp_path_factory.mktemp("face"))


@pytest.fixture(scope="module")
def archive(root) -> Path:
    return root / "data/NTU60_CS.npz"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "ctrgcn.pt"
    torch.manual_seed(0)
    torch.save(lab.create_model("ctrgcn").state_dict(), path)
    return path


def source_of(name: str, root: Path) -> Path:
    if name.endswith("-ucla"):
        return root / "data/NW-UCLA/all_sqe"
    if name.endswith("-coco"):
        return root / "data/ntu/ntu60_hrnet.pkl"
    return root / "data" / ("kinetics" if name.endswith("-kinetics") else "NTU60_CS.npz")


def test_importing_it_imports_nothing_heavy():
    code = "import sys, skeleton_lab; print(sorted({'torch', 'numpy', 'yaml', 'lightning_fabric'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    assert set(lab.__all__) <= set(dir(lab)) and all(callable(getattr(lab, name)) for name in lab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'create_modle'"):
        _ = lab.create_modle


def test_names():
    names = lab.list_models()
    assert names == sorted(set(names)) and {"ctrgcn", "hypergcn-large", "skateformer", "fsvae"} <= set(names)
    assert {each.room for each in registry.MODELS} == {room.folder for room in registry.ROOMS}
    assert all(each.path.is_file() for each in registry.MODELS if each.config)
    assert all(registry.model(room.folder).room == room.folder for room in registry.ROOMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SUPERVISED)
def test_network_and_data_of_every_name_go_together(name, root):
    """From archive to accuracy; the network is the configuration's, and no room is left open."""
    modules, path = set(sys.modules), list(sys.path)
    net = lab.create_model(name)
    assert is_fused(net) and not is_fused(lab.create_model(name, fused=False))
    more = SMALL if name.startswith(("ctrgcn", "hypergcn")) else {}
    if name.endswith("-coco"):
        more = {"layout": "pyskl:xsub"}
    data = lab.create_dataset(name, source_of(name, root), **({} if name.endswith("-ucla") else more))
    assert sys.path == path
    leaked = {module.partition(".")[0] for module in set(sys.modules) - modules}
    assert not leaked & {"model", "net", "feeders", "feeder", "graph", "recipe"}
    data.restrict(range(2))
    result = lab.evaluate(net, data, device="cpu")
    assert result.logits.shape == (2, registry_classes(name)) and result.top1 in (0, 0.5, 1)
    assert result.labels.tolist() == data.label.tolist()


def registry_classes(name: str) -> int:
    given = yaml.safe_load(registry.model(name).path.read_text())["model_args"]
    return given.get("num_class", given.get("num_classes"))


@pytest.mark.slow
def test_two_rooms_side_by_side():
    """Both rooms call their packages ``model`` and ``graph``; what one does leaves the other alone."""
    x = torch.randn(2, 3, 16, 25, 2)
    torch.manual_seed(0)
    first = lab.create_model("ctrgcn").eval()
    expected = first(x)
    second = lab.create_model("msg3d").eval()
    assert second(x).shape == (2, 60)
    torch.testing.assert_close(first(x), expected)
    assert type(first) is not type(second) and type(first) is type(lab.create_model("ctrgcn"))


@pytest.mark.slow
def test_weights_are_complete_or_refused(weights, tmp_path):
    net = lab.create_model("ctrgcn", weights=weights)
    stored = torch.load(weights, weights_only=True)
    assert all(torch.equal(value, stored[key]) for key, value in net.state_dict().items())
    with pytest.raises(WeightsError, match=r"does not fit the model: wrong shape: fc.*give the arguments"):
        lab.create_model("ctrgcn", weights=weights, num_class=10)
    with pytest.raises(WeightsError, match=r"belong to CTR-GCN, this is CTR-GCN's baseline"):
        lab.create_model("ctrgcn-baseline", weights=weights)
    with pytest.raises(WeightsError, match="there is no file"):
        lab.create_model("ctrgcn", weights=tmp_path / "none.pt")
    del stored["fc.bias"]
    torch.save(stored, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match=r"missing in the file: fc\.bias"):
        lab.create_model("ctrgcn", weights=tmp_path / "part.pt")


@pytest.mark.slow
def test_arguments_come_from_the_configuration_that_is_given(tmp_path):
    given = yaml.safe_load(registry.model("ctrgcn").path.read_text())
    given["model_args"]["num_class"] = 7
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given))
    assert lab.create_model("ctrgcn", config=tmp_path / "config.yaml").fc.out_features == 7
    assert lab.create_model("ctrgcn", config=tmp_path / "config.yaml", num_class=9).fc.out_features == 9
    assert lab.create_model("ctrgcn").fc.out_features == 60


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, words",
    [("ctrgcn", ("bone", "vel")), ("hypergcn", ("bone", "vel")), ("msg3d", ("bone", "vel")), ("stgcn", ("bone", "vel")),
     ("skateformer", ("data_type",))],
)  # fmt: skip
def test_streams_are_those_of_the_feeder(name, words, root):
    """Each stream is what the room's own arguments make of the same clip; the four differ."""
    values = {
        "joint": (False, False, "j"), "bone": (True, False, "b"), "joint_motion": (False, True, "jm"),
        "bone_motion": (True, True, "bm"),
    }  # fmt: skip
    seen = []
    for stream, (bone, vel, data_type) in values.items():
        data = lab.create_dataset(name, root / "data/NTU60_CS.npz", stream=stream)
        given = {"bone": bone, "vel": vel, "data_type": data_type}
        own = lab.create_dataset(name, root / "data/NTU60_CS.npz", **{word: given[word] for word in words})
        np.testing.assert_array_equal(data[0][0], own[0][0])
        seen.append(data[0][0].tobytes())
    assert len(set(seen)) == 4


def test_bones_of_whole_clips_are_differences_of_joints(root):
    """MS-G3D and ST-GCN take them from arrays; out of joints they come by the same rule."""
    from skeleton_lab.skeletons import bones

    joints = lab.create_dataset("msg3d", root / "data/NTU60_CS.npz")[0][0]
    data = lab.create_dataset("msg3d", root / "data/NTU60_CS.npz", stream="bone_motion")[0][0]
    bone = joints - joints[:, :, bones.NTU]
    motion = np.zeros_like(bone)
    motion[:, :-1] = bone[:, 1:] - bone[:, :-1]
    np.testing.assert_allclose(data, motion, atol=1e-6)


@pytest.mark.slow
def test_ucla_streams(root):
    path = root / "data/NW-UCLA/all_sqe"
    for name in ("ctrgcn-ucla", "skateformer-ucla"):
        clips = [lab.create_dataset(name, path, stream=stream)[0][0] for stream in ("joint", "bone", "bone_motion")]
        assert len({clip.tobytes() for clip in clips}) == 3
    train = lab.create_dataset("ctrgcn-ucla", path, split="train")
    assert len(train.label) == 12 and len(train) == 5 * 12  # repeat, as published


@pytest.mark.parametrize("name", ["ctrgcn", "msg3d", "hypergcn", "stgcn", "skateformer"])
def test_arrays_and_open_clips_are_as_good_as_the_file(name, archive):
    """Bit for bit, names of samples apart."""
    stored = lab.create_dataset(name, archive)
    clips = lab.open_archive(archive, "test")
    opened = lab.create_dataset(name, clips)
    x = clips.clips(np.arange(len(clips)))
    arrays = lab.create_dataset(name, (x, clips.labels))
    assert opened.sample_name == stored.sample_name and arrays.label.tolist() == stored.label.tolist()
    for other in (opened, arrays):
        for part, expected in zip(other.__getitems__(range(len(x))), stored.__getitems__(range(len(x)))):
            assert torch.equal(part, expected)


@pytest.mark.slow
def test_what_a_notebook_shows_is_a_line(archive, weights):
    """Of a cell that ends with one of them: how many, of what, how good; no tensors, no addresses."""
    data, clips = lab.create_dataset("ctrgcn", archive, window_size=16), lab.open_archive(archive, "test")
    assert repr(data) == f"<feeders.feeder_ntu.Feeder: 8 samples of {archive}>"
    assert repr(clips) == f"<8 clips of {archive}: C=3, T={FRAMES}, V=25, M=2>"
    result = lab.evaluate(lab.create_model("ctrgcn", weights), data)
    assert repr(result) == f"Evaluation(8 samples, top1={result.top1:.4f}, top5={result.top5:.4f})"
    assert repr(lab.Predictor("ctrgcn", weights)) == f"Predictor('ctrgcn', '{weights}')"


def test_completion_of_a_notebook_offers_the_public_names_alone():
    offered = {name for name in dir(lab) if not name.startswith("__")}
    assert offered == {*lab.__all__, "errors"}


def test_ucla_of_arrays(root):
    path = root / "data/NW-UCLA/all_sqe"
    stored = lab.create_dataset("ctrgcn-ucla", path)
    clips = lab.open_archive(path, "test")
    arrays = lab.create_dataset("ctrgcn-ucla", (clips.clips(np.arange(len(clips))), clips.labels))
    assert torch.equal(arrays.__getitems__([0, 5])[0], stored.__getitems__([0, 5])[0])
    with pytest.raises(LabError, match="does not hold NW-UCLA recordings but 25 joints"):
        lab.create_dataset("ctrgcn-ucla", (np.zeros((1, 3, 9, 25, 2)), [0]))


@pytest.mark.slow
def test_evaluation_is_that_of_the_test_phase(root, weights, tmp_path, monkeypatch):
    """The logits of main.py --phase test, bit for bit."""
    config = registry.model("ctrgcn").path
    flags = f"--config {config} --phase test --weights {weights} --work-dir {tmp_path} --save-score True"
    assert Lab(root, monkeypatch)("CTR-GCN", f"{flags} {FEW.partition('--num-worker')[1]} 0 --device cpu") == 0
    [scores] = tmp_path.rglob("*score.pkl")
    expected = np.stack(list(pickle.loads(scores.read_bytes()).values()))
    data = lab.create_dataset("ctrgcn", root / "data/NTU60_CS.npz")
    result = lab.evaluate(lab.create_model("ctrgcn", weights), data, device="cpu", batch_size=256)
    np.testing.assert_array_equal(result.logits.numpy(), expected)
    assert result.top1 == np.mean(expected.argmax(1) == data.label)


@pytest.mark.slow
def test_predictor(archive, weights, tmp_path):
    predictor = lab.Predictor("ctrgcn", weights)
    whole = predictor(archive, together=True)
    assert [each.who for each in whole] == ["all"] * 8 and whole[0].last < FRAMES
    data = lab.create_dataset("ctrgcn", archive)
    logits = lab.evaluate(lab.create_model("ctrgcn", weights), data, batch_size=64).logits.numpy()
    np.testing.assert_array_equal(np.stack([each.logits for each in whole]), logits)
    assert [each.label for each in whole] == data.label.tolist()
    best = whole[0]
    assert best.best == best.classes[logits[0].argmax()] and len(best.top) == 5 and best.probabilities.sum() > 0.999
    assert str(best).startswith(f"{best.clip}, frames 0-{best.last}, all: {best.best} ")
    clips = lab.open_archive(archive, "test")
    for given in (clips, clips.clips(np.arange(8)).astype(np.float64)):
        again = predictor(given, together=True)
        np.testing.assert_array_equal(np.stack([each.logits for each in again]), logits)
    points = np.random.default_rng(0).random((50, 17, 2)) * 400
    (tmp_path / "keypoints.json").write_text(json.dumps(points.tolist()))
    from_file = predictor(tmp_path / "keypoints.json", keypoints="coco17", window=20, stride=15)
    from_array = predictor(points, keypoints="coco17", window=20, stride=15)
    assert [(each.first, each.last) for each in from_array] == [(0, 19), (15, 34), (30, 49)]
    for one, other in zip(from_file, from_array):
        np.testing.assert_array_equal(one.logits, other.logits)
    for same in (points.tolist(), torch.from_numpy(points)):
        again = predictor(same, keypoints="coco17", window=20, stride=15)
        np.testing.assert_array_equal(again[-1].logits, from_array[-1].logits)
    assert [each.clip for each in predictor(archive, index=1, together=True)] == [whole[1].clip]
    named = lab.Predictor("ctrgcn", weights, classes=[f"act {k}" for k in range(60)])
    assert named(points, keypoints="coco17")[0].best.startswith("act ")


@pytest.mark.slow
def test_predictors_of_two_rooms_and_no_files(archive, weights, tmp_path, monkeypatch):
    """Nothing is written while they predict: clips reach the feeder in memory."""
    other = tmp_path / "msg3d.pt"
    torch.save(lab.create_model("msg3d").state_dict(), other)
    first, second = lab.Predictor("ctrgcn", weights), lab.Predictor("MS-G3D", other)
    monkeypatch.setattr("tempfile.TemporaryDirectory", None)
    points = np.random.default_rng(0).random((30, 17, 2)) * 400
    expected = first(points, keypoints="coco17")[0].logits
    assert second(points, keypoints="coco17")[0].logits.shape == (60,)
    np.testing.assert_array_equal(first(points, keypoints="coco17")[0].logits, expected)


def test_zero_shot_networks_are_made_and_what_they_cannot_do_is_said(weights):
    net = lab.create_model("fsvae", vis_dim=32, text_dim=48, latent=8)
    mean, spread = net["se"](torch.randn(5, 32))
    assert mean.shape == spread.shape == (5, 8) and net["td"](mean).shape == (5, 48)
    assert set(lab.create_model("msf-gzssar")) == {"se", "sd", "te", "td"}
    for call in (
        lambda: lab.create_dataset("fsvae", "x.npz"),
        lambda: lab.Predictor("msf-gzssar", weights),
        lambda: lab.fit("fsvae", None, work_dir="w"),
    ):
        with pytest.raises(UsageError, match="learns from features and texts, not from clips"):
            call()
    with pytest.raises(UsageError, match="leave weights and config out"):
        lab.create_model("fsvae", weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda a, w: lab.create_model("ctrgnc"), UsageError, "no model 'ctrgnc'. Did you mean 'ctrgcn'?"),
        (lambda a, w: lab.create_model("ctrgcn", num_clas=3), UsageError, "Did you mean 'num_class'?"),
        (lambda a, w: lab.create_model("fsvae", vis=3), UsageError, "It takes vis_dim, text_dim, latent"),
        (lambda a, w: lab.create_model("ctrgcn", num_class=0), UsageError, "whole number from 1"),
        (lambda a, w: lab.evaluate(torch.nn.Identity(), [], device="gpu"), UsageError, "cuda:N"),
        (lambda a, w: lab.create_dataset("ctrgcn", a, split="tset"), UsageError, "Did you mean 'test'?"),
        (lambda a, w: lab.create_dataset("ctrgcn", a, stream="bones"), UsageError, "Did you mean 'bone'?"),
        (lambda a, w: lab.create_dataset("ctrgcn", a, windowsize=3), FeederArgumentError, "Did you mean 'window_size'"),
        (lambda a, w: lab.create_dataset("ctrgcn", "no.npz"), ArchiveNotFoundError, "no.npz does not exist"),
        (lambda a, w: lab.create_dataset("ctrgcn", (np.zeros((2, 3, 5)), [0])), LabError, "expected are numbers"),
        (lambda a, w: lab.create_dataset("ctrgcn", (np.zeros((2, 3, 5, 25, 2)), [0])), LabError, "2 clips and 1 label"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, windw=3), UsageError, "Did you mean 'window'?"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, keypoints="coco"), UsageError, "choose from"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, window="x"), UsageError, "window 'x' must be a whole number"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(None), UsageError, "NoneType is neither a path nor an array"),
        (lambda a, w: lab.Predictor("ctrgcn", w)([[1], [1, 2]]), UsageError, "list is neither a path nor an array"),
        (lambda a, w: lab.Predictor("ctrgcn", w)("no.json"), ArchiveNotFoundError, "does not exist"),
        (lambda a, w: lab.Predictor("ctrgcn", w, classes=["a"]), UsageError, "the network has 60 classes"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, window="64"), UsageError, "window '64' must be a whole number"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, stride=2.5), UsageError, "stride 2.5 must be a whole number"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, score="0"), UsageError, "score '0' must be a number"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, index="0"), UsageError, "index '0' must be rows"),
        (lambda a, w: lab.Predictor("ctrgcn", w)(a, up="q"), UsageError, "up q: choose from y, -y"),
        (lambda a, w: lab.Predictor("ctrgcn", "no.pt"), WeightsError, "there is no file"),
        (lambda a, w: lab.evaluate(torch.nn.Identity(), [0], batch_size=0), UsageError, "batch_size 0 must be"),
        (lambda a, w: lab.create_model(3), UsageError, "there is no model '3'"),
        (lambda a, w: lab.fit("ctrgcn", None, work_dir="w"), UsageError, "train=None is no data set"),
        (lambda a, w: lab.fit("ctrgcn", a, work_dir="w"), UsageError, "is no data set; create_dataset makes one"),
        (lambda a, w: lab.fit("ctrgcn", None, work_dir="w", num_epochs=3), UsageError, "Did you mean 'num_epoch'?"),
        (lambda a, w: lab.fit("ctrgcn", [], "x.npz", work_dir="w"), UsageError, "test='x.npz' is no data set"),
        (lambda a, w: lab.evaluate("ctrgcn", []), UsageError, "no network (create_model makes one) but 'ctrgcn'"),
        (lambda a, w: lab.evaluate(torch.nn.Identity(), "x.npz"), UsageError, "no data set (create_dataset makes one)"),
        (lambda a, w: lab.create_dataset("ctrgcn", None), UsageError, "path is None; give an archive"),
        (lambda a, w: lab.evaluate(lab.create_model("ctrgcn-ucla"), lab.create_dataset("ctrgcn", a)), UsageError,
         "the clips have 25 joints, and the network was built for 20"),
        (lambda a, w: lab.evaluate(lab.create_model("ctrgcn", num_class=2), lab.create_dataset("ctrgcn", a)),
         UsageError, "lies outside 0..1: the model has 2 classes"),
    ],
)  # fmt: skip
def test_mistakes_name_what_is_right(call, error, words, archive, weights):
    with pytest.raises(error) as told:
        call(archive, weights)
    assert words in str(told.value) and "\n" not in str(told.value)


def test_a_class_of_the_room_is_still_importable_there(archive):
    """What a published script does in the room's folder: nothing of the face stands in its way."""
    lab.create_model("msg3d")
    with registry.room("CTR-GCN"):
        assert import_class("model.ctrgcn.Model").__module__ == "model.ctrgcn"
