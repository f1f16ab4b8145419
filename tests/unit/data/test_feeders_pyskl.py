"""Room PYSKL's data set: pickles in two and three dimensions, splits by their own names, streams, clips, people."""

from __future__ import annotations

import pickle

import numpy as np
import pyskl_clips
import pytest
import torch
from own_archives import CLASSES, save_own
from parity.kaggle_sample import make_kinetics

from skeleton_lab import registry
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.feeders import image_points
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.pyskl_compose import Compose
from skeleton_lab.engine import size_checks, skeleton
from skeleton_lab.engine.build import make_feeders
from skeleton_lab.engine.config.options import from_values
from skeleton_lab.engine.dataloader import observed
from skeleton_lab.engine.network import make_net
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, ArchiveNotFoundError, FeederArgumentError, UsageError
from skeleton_lab.skeletons import layouts

Feeder = registry.load("PYSKL", "feeders.feeder_pyskl.Feeder")
Published = registry.load("PYSKL", "feeders.pyskl.Feeder")
TEST_3D = [
    {"type": "PreNormalize3D"}, {"type": "GenSkeFeat", "dataset": "nturgb+d", "feats": ["bm"]},
    {"type": "UniformSample", "clip_len": 32, "num_clips": 2}, {"type": "PoseDecode"}, {"type": "FormatGCNInput"},
]  # fmt: skip
GYM = [
    {"type": "UniformSampleFrames", "clip_len": 24}, {"type": "PoseDecode"}, {"type": "Kinetics_Transform"},
    {"type": "GenSkeFeat", "dataset": "coco_new", "feats": ["j"]}, {"type": "FormatGCNInput", "num_person": 2},
]  # fmt: skip
SKELETONS = [name for name, layout in layouts.known().items() if 13 <= layout.V <= 33]
SMALL = {
    "stgcnpp": ("config/stgcnpp/ntu60_xsub_3dkp/j.yaml", {"base_channels": 12, "num_stages": 2}),
    "protogcn": ("config/protogcn/ntu60_xsub/j.yaml", {"base_channels": 64, "num_stages": 2, "num_prototype": 4}),
}
IMAGES = ("image one", "image two", "image short")


@pytest.fixture(scope="module")
def bodies(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("pyskl") / "bodies.pkl"
    pyskl_clips.make_pickle(path)
    return str(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("pyskl") / "pictures.pkl", [pyskl_clips.annotation(name) for name in IMAGES])


def write(path, annotations: list[dict], **splits: list[str]) -> str:
    names = [each["frame_dir"] for each in annotations]
    path.write_bytes(pickle.dumps({"split": splits or {"train": names, "val": names}, "annotations": annotations}))
    return str(path)


def published(annotation: dict, steps: list[dict]) -> np.ndarray:
    """What the steps make of an annotation of the file, in a test."""
    return Compose(steps)({**annotation, "start_index": 0, "test_mode": True})["keypoint"]


def test_items_are_those_of_the_annotations_in_their_order(bodies):
    feeder = Published(bodies, TEST_3D, split="xsub_train", test_mode=True)
    names = ["one", "two", "late", "gap", "short", "long"]
    assert [name.split("-")[1] for name in feeder.sample_name] == names
    for index, name in enumerate(names):
        annotation = pyskl_clips.annotation(name)
        x, label, told = feeder[index]
        np.testing.assert_allclose(x, published(annotation, TEST_3D), rtol=1e-5, atol=1e-5)
        assert (label, told, x.dtype) == (annotation["label"], index, np.float32)
    names = [name.split("-")[1] for name in Published(bodies, TEST_3D, split="xsub_val").sample_name]
    assert names == ["zero", "tie", "lone"]


def test_pictures_keep_their_size_and_their_last_frames(pictures):
    """The recorded frames count, also where nobody is seen in the last of them."""
    steps = [{"type": "PreNormalize2D"}, {"type": "GenSkeFeat", "dataset": "coco"}, *TEST_3D[2:]]
    feeder = Published(pictures, steps, split="val", test_mode=True)
    for index, name in enumerate(IMAGES):
        np.testing.assert_allclose(feeder[index][0], published(pyskl_clips.annotation(name), steps), atol=1e-5)
    annotation = pyskl_clips.annotation("image one")
    annotation["keypoint"][:, 40:], annotation["keypoint_score"][:, 40:] = 0, 0

    path = write(feeder.clips.path.with_name("end.pkl"), [annotation])
    np.testing.assert_allclose(Published(path, steps, "val", True)[0][0], published(annotation, steps), atol=1e-5)


def test_a_list_without_splits(tmp_path):
    annotations = [pyskl_clips.annotation(name) for name in ("one", "short")]
    (tmp_path / "list.pkl").write_bytes(pickle.dumps(annotations))
    feeder = Published(tmp_path / "list.pkl", TEST_3D, test_mode=True)
    assert list(feeder.sample_name) == [each["frame_dir"] for each in annotations]


def test_published_splits_of_another_archive_are_its_parts(tmp_path):
    """A published configuration names lists of the pickle; with the path alone changed it reads any archive."""
    path = save_own(tmp_path / "own.npz", "coco17")
    for split, part in (("xsub_train", "train"), ("xsub_val", "test")):
        feeder, same = Feeder(path, split, window_size=8), Feeder(path, part, window_size=8)
        assert feeder.test_mode == (part == "test") == same.test_mode
        assert list(feeder.sample_name) == list(same.sample_name) and feeder.label.tolist() == same.label.tolist()
    with pytest.raises(UsageError, match="layout 'pyskl:xsub'"):
        Feeder(path, "train", layout="pyskl:xsub")


def test_the_recipe_follows_the_skeleton(bodies, pictures, archive):
    """The same arguments for 3-D and 2-D pickles and for the Kaggle file; streams, frames and people as asked for."""
    for path, split, joints in ((bodies, "xsub_train", 25), (pictures, "train", 17), (archive, "train", 25)):
        feeder = Feeder(path, split, window_size=16)
        x, _, index = feeder.__getitems__(Batch([0, 1]))
        assert x.shape == (2, 2, 16, joints, 3) and x.dtype == torch.float32 and index.tolist() == [0, 1]
        assert len(feeder.edges) == joints - 1 and size_checks.clip_shape(feeder) == (3, 16, joints, 2)
    assert (feeder.skeleton.name, Feeder(pictures, "val").skeleton.name) == ("ntu25", "coco17")
    bones = Feeder(pictures, "val", data_type="b", window_size=16)
    joints = Feeder(pictures, "val", window_size=16)
    x, b = (torch.from_numpy(each[0][0]) for each in (joints, bones))
    assert torch.allclose(b[:, :, 15, :2], x[:, :, 15, :2] - x[:, :, 13, :2], atol=1e-6)
    assert torch.allclose(b[:, :, 15, 2], (x[:, :, 15, 2] + x[:, :, 13, 2]) / 2, atol=1e-6)
    alone = Feeder(pictures, "val", window_size=16)
    alone.take_people(3)
    assert alone[1][0].shape == (3, 16, 17, 3)


def test_coco_with_three_more_joints(pictures):
    """ProtoGCN's pixels; asked for another skeleton than that the step is left out."""
    extended = Feeder(pictures, "val", GYM)
    assert extended[0][0].shape == (2, 24, 20, 3) and extended.skeleton is None and len(extended.edges) == 19
    assert extended[0][0][..., :2].max() > 100
    plain = Feeder(pictures, "val", GYM, skeleton="coco17")
    assert plain[0][0].shape == (2, 24, 17, 3) and np.abs(plain[0][0][..., :2]).max() < 2


def test_random_draws_belong_to_sample_and_epoch(bodies):
    """Neither the batch nor its order matter; the next epoch has others; a test has none."""
    steps = [*TEST_3D[:1], {"type": "RandomRot"}, {"type": "Spatial_Flip"}, {"type": "Part_Drop"}, *TEST_3D[1:]]
    feeder = Feeder(bodies, "xsub_train", steps, num_clips=1, times=2)
    assert len(feeder) == 12
    x = feeder.__getitems__(Batch([0, 3, 6], epoch=1))[0]
    assert torch.equal(feeder.__getitems__(Batch([6, 0], epoch=1))[0], x[[2, 0]])
    assert not torch.equal(x[0], x[2]) and not torch.equal(feeder.__getitems__(Batch([0], epoch=2))[0][0], x[0])
    state = np.random.get_state()[1].tolist()
    test = Feeder(bodies, "xsub_val", num_clips=10)
    a, b = (test.__getitems__(Batch([1, 2], epoch=epoch))[0] for epoch in (0, 1))
    assert a.shape == (2, 10, 2, 100, 25, 3) and torch.equal(a, b) and np.random.get_state()[1].tolist() == state


def test_the_beginning_of_a_clip(bodies):
    """A share of the recorded frames is all that an observing feeder sees."""
    feeder = Feeder(bodies, "xsub_train", TEST_3D, test_mode=True)
    half = observed(feeder, (0.5, 0.5))
    annotation = pyskl_clips.annotation("one")
    annotation |= {"keypoint": annotation["keypoint"][:, :30], "total_frames": 30}
    np.testing.assert_allclose(half[0][0], published(annotation, TEST_3D), atol=1e-5)


def test_key_points_in_other_files(tmp_path):
    """Kinetics-400: skeletons one after the other in files beside the annotations, wherever these say they are."""
    stored = pyskl_clips.compressed()
    names = ["a", "b", "c"]
    annotations = [
        {key: value for key, value in stored.items() if key != "keypoint"}
        | {"frame_dir": name, "raw_file": f"/nowhere/kp/{name > 'b'}.pkl", "frame_inds": stored["frame_inds"] + 1}
        for name in names
    ]
    (tmp_path / "kpfiles").mkdir()
    for file, clips in (("False", "ab"), ("True", "c")):
        content = {name: {"keypoint": stored["keypoint"] * (1 + names.index(name))} for name in clips}
        (tmp_path / "kpfiles" / f"{file}.pkl").write_bytes(pickle.dumps(content))
    path = write(tmp_path / "k400.pkl", annotations)
    steps = [{"type": "DecompressPose", "squeeze": True}, *GYM]
    feeder = Published(path, steps, "val", True)
    assert (
        list(feeder.sample_name) == names and feeder.clips.scored and feeder.clips.img_shape.tolist()[0] == [256, 340]
    )
    for index in range(3):
        annotation = stored | {"keypoint": stored["keypoint"] * (1 + index), "frame_inds": stored["frame_inds"]}
        np.testing.assert_allclose(feeder[index][0], published(annotation, steps), rtol=1e-5, atol=1e-3)
    (tmp_path / "kpfiles" / "True.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(ArchiveError, match=r"k400.pkl: c: .*True.pkl has no key points of this clip"):
        open_archive(path, "train")
    (tmp_path / "kpfiles" / "True.pkl").unlink()
    with pytest.raises(ArchiveNotFoundError, match=r"no .*kpfiles/True.pkl"):
        open_archive(path, "train")


@pytest.mark.parametrize(
    "arguments, error, word",
    [
        ({"split": "xsub"}, UsageError, "split 'xsub'"),
        ({"split": "xset_val"}, ArchiveKeyError, "xset"),
        ({"split": "xsub_val", "layout": "pyskl:xsub"}, UsageError, "and then no layout"),
        ({"split": "xsub_val", "average_clips": "max"}, UsageError, "average_clips"),
        ({"split": "xsub_val", "pipeline": []}, UsageError, "needs one of UniformSample"),
        ({"split": "xsub_val", "pipeline": "j"}, UsageError, "list of steps"),
        ({"split": "xsub_val", "windowsize": 3}, FeederArgumentError, "'window_size'"),
        ({"split": "xsub_val", "window_size": 0}, UsageError, "clip_len"),
        ({"split": "xsub_val", "skeleton": "coco17"}, UsageError, "25 joints"),
        ({"split": "xsub_val", "data_type": "y"}, UsageError, "stream 'y'"),
    ],
)
def test_wrong_arguments(bodies, arguments, error, word):
    with pytest.raises(error) as caught:
        Feeder(bodies, **arguments)
    assert word in str(caught.value)


def test_clips_of_a_program(bodies):
    """Clips that are open already, of another skeleton too."""
    x = np.random.default_rng(0).standard_normal((3, 12, 17, 1))
    feeder = Feeder(ArrayClips([x]), "test", skeleton="h36m17", window_size=8)
    assert feeder[0][0].shape == (2, 8, 17, 3) and (feeder[0][0][1] == 0).all()
    assert feeder.skeleton.name == "h36m17" and len(feeder.edges) == 16


def test_shares_of_a_picture(tmp_path):
    """Kinetics-skeleton counts from the middle of the picture; what comes out spans -1..1 all the same."""
    make_kinetics(tmp_path)
    feeder = Feeder(str(tmp_path / "clips"), "test", label_path=str(tmp_path / "labels.json"), window_size=8)
    assert feeder.skeleton.name == "coco18"
    stored = feeder.clips.gather(np.array([1]), np.arange(1)[None])[0, 0, 0]
    first = feeder.annotation(feeder.clips, 1)
    np.testing.assert_allclose(first["keypoint"][0, 0], stored[:, :2] + 0.5, atol=1e-6)
    seen = np.abs(feeder[1][0][..., :2])
    assert 0.1 < seen.max() < 1.5


@pytest.mark.parametrize("score", [0.0, 0.2])
def test_own_key_points_have_no_gaps(tmp_path, score):
    """A joint that the estimator lost, or guessed, lies between the frames around; in PYSKL's pickles it stays."""
    x = np.random.default_rng(0).uniform(100, 900, (1, 3, 4, 17, 2)).astype(np.float32)
    x[:, 2], x[..., 1] = 0.9, 0
    x[0, :, 2, 9, 0] = [0, 0, score] if score == 0 else [5000, 5000, score]
    said = {"skeleton": "coco17", "channels": "xys", "units": "px", "img_shape_test": [[1080, 1920]]}
    np.savez(tmp_path / "own.npz", x_train=x, y_train=[0], x_test=x, y_test=[0], class_names=["a"], **said,
             img_shape_train=[[1080, 1920]])  # fmt: skip
    pixels = [{"type": "PreNormalize2D"}, *TEST_3D[2:]]
    made = np.asarray(Feeder(str(tmp_path / "own.npz"), "test", pixels, window_size=4, num_clips=1)[0][0])
    between = (x[0, :2, 1, 9, 0] + x[0, :2, 3, 9, 0]) / 2
    np.testing.assert_allclose(made[0, 2, 9, :2], between / [960, 540] - 1, atol=1e-5)
    assert made[0, 2, 9, 2] == np.float32(max(score, 0.02)) and not made[1].any()
    about = Feeder(str(tmp_path / "own.npz"), "test", window_size=4)  # a configuration for bodies in space
    assert about.placed and about.up is None and about.skeleton.name == "coco17"
    expected = image_points.placed(x[0].transpose(1, 3, 2, 0), layouts.layout("coco17"), True)
    np.testing.assert_allclose(np.asarray(about[0][0]).swapaxes(0, 1), expected, atol=1e-6)


WALK = [(network, name) for i, name in enumerate(SKELETONS) for j, network in enumerate(SMALL) if i % 2 == j]


@pytest.mark.parametrize("network, name", WALK)
def test_both_networks_take_a_step_on_any_skeleton(network, name, tmp_path):
    """From an archive of one's own of that skeleton: the graph, the channels and the classes follow."""
    room, layout = registry.find("PYSKL"), layouts.layout(name)
    data = str(save_own(tmp_path / "own.npz", name))
    arguments = {f"{split}_feeder_args": {"data_path": data, "split": split, "data_type": "b", "window_size": 8}
                 for split in ("train", "test")}  # fmt: skip
    with registry.room("PYSKL") as here:
        config, smaller = SMALL[network]
        values = {"config": str(here.path / config), "batch_size": 2, "forward_batch_size": 2, "seed": 1, **arguments}
        options = from_values(room.recipe, {**values, "model_args": smaller}, here.path)
        feeders = make_feeders(options)
        said = skeleton.fit(options, feeders)
        net = make_net(options)
        x, labels = feeders[0].__getitems__(Batch([0, 1]))[:2]
        output = net(x)
    assert x.shape == (2, 2, 8, layout.V, 3 if layout.dimensions == 3 or layout.scored else 2)
    logits = output[0] if isinstance(output, tuple) else output
    assert logits.shape == (2, len(CLASSES))
    torch.nn.functional.cross_entropy(logits, labels).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    told = f"Skeleton: {name}, {layout.V} joints, {feeders[0].D} coordinates"
    assert (name == "ntu25") == (options.skeleton is None) and (name == "ntu25" or told in said[-1])


def test_a_crowd():
    """Of more than two people in space the first two are looked at."""
    x = np.random.default_rng(0).standard_normal((3, 12, 25, 4)).astype(np.float32)
    crowd, two = (Feeder(ArrayClips([x[..., :count]]), "test", window_size=8) for count in (4, 2))
    np.testing.assert_array_equal(crowd[0][0], two[0][0])
