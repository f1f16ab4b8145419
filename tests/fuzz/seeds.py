"""Tiny valid files of every layout, and arrays that are not what their layout wants."""

from __future__ import annotations

import copy
import gzip
import importlib.util
import io
import json
import pickle
import tarfile
import zipfile
from random import Random

import numpy as np

CONFIG = b"""\
work_dir: ./work_dir/a
feeder: feeders.feeder_ntu.Feeder
train_feeder_args: {data_path: data/NTU60_CS.npz, split: train, p_interval: [0.5, 1], window_size: 64}
model_args:
  num_class: 60
  graph_args: &graph
    labeling_mode: 'spatial'
  again: *graph
weight_decay: 4e-4
step: [35, 55]
nesterov: true
"""


def _arrays() -> dict[str, np.ndarray]:
    x = np.random.RandomState(3).standard_normal((3, 4, 150)).astype(np.float32)
    x[:, 3:] = 0
    return {"x_train": x, "y_train": np.eye(4)[[0, 3, 1]], "x_test": x[:2], "y_test": np.eye(4)[[2, 0]],
            "name_train": np.array(["S001C001P001R001A001", "S001C001P002R001A004",
            "S001C001P003R001A002"])}  # fmt: skip


def _five(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1, 2, 25, 3).transpose(0, 4, 1, 3, 2)


def npz(save=np.savez, five: bool = False) -> bytes:
    file, arrays = io.BytesIO(), _arrays()
    if five:
        arrays |= {key: _five(arrays[key]) for key in ("x_train", "x_test")}
    save(file, **arrays)
    return file.getvalue()


OWN = """\
joints: [tip, left_end, right_end]
bones: [[1, 0], [2, 0]]
units: px
dimensions: 2
scored: true
"""


def _own() -> dict[str, np.ndarray]:
    """An archive of a skeleton of one's own, with everything that it can say."""
    x = np.random.RandomState(7).uniform(1, 9, (3, 3, 4, 3, 1)).astype(np.float32)
    said = {"skeleton": OWN, "channels": "xys", "units": "px", "class_names": ["a", "b", "c"]}
    for split, n in (("train", 3), ("test", 2)):
        said |= {f"x_{split}": x[:n], f"y_{split}": np.arange(n), f"img_shape_{split}": np.full((n, 2), 9)}
        said |= {f"subject_{split}": [split] * n}
    return {key: np.array(value) for key, value in said.items()}


def own() -> bytes:
    file = io.BytesIO()
    np.savez(file, **_own())
    return file.getvalue()


def npy(x: np.ndarray | None = None) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(_five(_arrays()["x_train"])) if x is None else x)
    return file.getvalue()


def labels() -> bytes:
    return pickle.dumps((["a", "b", "c"], [0, 1, 2]))


def pyskl() -> bytes:
    names = ["S001C001P001R001A001", "S001C001P002R001A002"]
    clips = [
        {"frame_dir": name, "total_frames": 3, "label": k, "keypoint": np.full((1, 3, 25, 3), 0.5 + k, np.float16)}
        for k, name in enumerate(names)
    ]
    return pickle.dumps({"split": {"xsub_train": names, "xsub_val": names[1:]}, "annotations": clips})


def pyskl_flat() -> bytes:
    """Key points of pictures, with a skeleton and names of classes."""
    rng = np.random.RandomState(8)
    clips = [
        {"frame_dir": name, "total_frames": 3, "label": k, "img_shape": (480, 640), "original_shape": (480, 640),
         "keypoint": rng.rand(1, 3, 17, 2).astype(np.float16), "keypoint_score": rng.rand(1, 3, 17)}
        for k, name in enumerate("ab")
    ]  # fmt: skip
    said = {"skeleton": "coco17", "units": "px", "class_names": ["x", "y"]}
    return pickle.dumps({"split": {"train": ["a"], "val": ["b"]}, "annotations": clips, **said})


def ucla() -> bytes:
    x = np.random.RandomState(5).rand(2, 20, 3).round(3)
    return json.dumps({"file_name": "a01_s01_e00_v01", "skeletons": x.tolist(), "label": 1}).encode()


def ucla_tar(mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name in ("a01_s01_e00_v01", "a01_s02_e00_v02"):
            member = tarfile.TarInfo(f"all_sqe/{name}.json")
            member.size = len(ucla())
            tar.addfile(member, io.BytesIO(ucla()))
    return file.getvalue()


def kinetics() -> bytes:
    person = {"pose": [0.5] * 36, "score": [0.25] * 18}
    frames = [{"frame_index": t, "skeleton": [person] * (t % 3)} for t in (1, 2, 4)]
    return json.dumps({"data": frames, "label": "abseiling", "label_index": 0}).encode()


def kinetics_labels() -> bytes:
    return json.dumps({"clip": {"has_skeleton": True, "label": "abseiling", "label_index": 0}}).encode()


def recording(compressed: bool = False) -> bytes:
    """Two frames of one Kinect body, one frame of nobody."""
    joint = "0.1 0.2 3.0 250.1 200.2 900.3 500.4 0.1 0.2 0.3 0.4 2"
    body = ["72057594037944738 0 1 1 1 1 0 0.02 0.1 2", "25", *[joint] * 25]
    text = "\r\n".join(["3", "1", *body, "0", "1", *body, ""]).encode()
    return gzip.compress(text) if compressed else text


def recordings_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nturgb+d_skeletons/S001C001P001R001A001.skeleton", recording())
    return file.getvalue()


def h5(**options) -> bytes | None:
    """None without h5py."""
    if importlib.util.find_spec("h5py") is None:
        return None
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as archive:
        for key, value in _arrays().items():
            if key.startswith("name"):
                archive.create_dataset(key, data=value.astype("S"))
            else:
                archive.create_dataset(key, data=value, **options)
    return file.getvalue()


def weights() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"module.fc.weight": torch.ones(2, 3), "module.fc.bias": torch.zeros(2)}, file)
    return file.getvalue()


def weights_pickle() -> bytes:
    return pickle.dumps({"fc.weight": np.ones((2, 3), np.float32), "fc.bias": np.zeros(2, np.float32)})


TYPES = (
    "f4",
    ">f4",
    "f2",
    "f8",
    "c8",
    "i4",
    "u1",
    "?",
    "U5",
    "S3",
    "M8[s]",
    "m8[s]",
    "V7",
    "O",
    "i4,f4",
    "f4,(2,)f4",
    "g",
)
SIZES = (0, 1, 2, 3, 4, 5, 17, 25, 75, 102, 150)


def any_array(draw: Random) -> np.ndarray:
    """An array of any type and shape, of less than a megabyte."""
    shape = [draw.choice(SIZES) for _ in range(draw.choice((0, 1, 2, 3, 3, 5, 5, 6)))]
    while np.prod(shape, dtype=float) > 50_000:
        shape[draw.randrange(len(shape))] = draw.choice((1, 2))
    kind = draw.choice(TYPES)
    try:
        with np.errstate(all="ignore"):
            filling = draw.choice((0, 1, -1, 3.7, float("nan"), float("inf"), 1e38))
            made = np.full(shape, filling, np.float64).astype(kind)
    except (TypeError, ValueError):
        made = np.zeros(shape, kind)
    return np.asfortranarray(made) if draw.random() < 0.2 else made


def strange_npz(draw: Random) -> bytes:
    """Members that lack, are of the wrong kind, or lie about their size."""
    arrays: dict[str, np.ndarray] = draw.choice((_arrays, _own))()
    for _ in range(draw.randint(1, 3)):
        arrays[draw.choice((*arrays, "data"))] = any_array(draw)
    if draw.random() < 0.2:
        del arrays[draw.choice(tuple(arrays))]
    file = io.BytesIO()
    with np.errstate(all="ignore"):
        draw.choice((np.savez, np.savez_compressed))(file, **arrays)
    return file.getvalue()


def _descriptors() -> dict[str, np.ndarray]:
    return {"names": np.array(["a", "b"]), "values": np.ones((3, 4), np.float32), "offsets": np.array([0, 1, 3])}


def descriptors() -> bytes:
    """Packed, of two clips."""
    file = io.BytesIO()
    np.savez(file, **_descriptors())
    return file.getvalue()


def strange_descriptors(draw: Random) -> bytes:
    """Offsets that lead astray, and members of any kind."""
    arrays = _descriptors()
    arrays["offsets"] = np.array([draw.choice((-1, 0, 1, 2, 3, 10**12)) for _ in range(draw.choice((1, 3, 3, 4)))])
    if draw.random() < 0.5:
        arrays[draw.choice((*arrays, "data"))] = any_array(draw)
    file = io.BytesIO()
    with np.errstate(all="ignore"):
        draw.choice((np.savez, np.savez_compressed))(file, **arrays)
    return file.getvalue()


def strange_npy(draw: Random) -> bytes:
    """A header that claims anything, in front of few data."""
    if draw.random() < 0.5:
        return npy(any_array(draw))
    shape = draw.choice(
        (
            "(3, 3, 4, 25, 2)",
            "(10**9,)",
            "(1000000000, 3, 300, 25, 2)",
            "(-1,)",
            "()",
            "3",
            "(0, 3, 0, 25, 2)",
            "(3, 3, 4, 25, 1)",
            "(True, 3)",
            "(1.5, 2)",
            "(" * 300,
            "(9" * 200,
            "((3,), 3)",
            "(3, 3, 4, 25, 2), 5",
        )
    )
    kind = draw.choice(
        ("'<f4'", "'|O'", "'<f2'", "[('a', '<f4')]", "'<f4' * 99", "None", "'<U999999999'", "'V0'", "[]", "'<f4,<f4'")
    )
    order = draw.choice(("True", "False", "None", "1"))
    text = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".encode() + b"\n"
    version = draw.choice((1, 2, 3, 4))
    length = draw.choice((len(text), len(text), 65535, 0)).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + bytes(draw.choice((0, 600, 1800, 7200)))


def strange_json(draw: Random) -> bytes:
    """JSON of the right words and wrong values."""
    joint, person = [1, 2, 3], {"pose": [1] * 36, "score": [1] * 18}
    values = (
        None, True, -1, 2, 10**30, 1e308, "x", [], {}, [[]], [1], "9" * 5000, [0.1] * 36, person, [joint] * 20,
        [[joint] * 20], [[[1, None, 3]] * 20], [[["1", 2, 3]] * 20], [[joint] * 19],
    )  # fmt: skip
    whole = json.loads(draw.choice((ucla, kinetics, kinetics_labels))())
    place = whole
    for _ in range(draw.randint(0, 4)):
        keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else ()
        if not keys:
            break
        key = draw.choice(keys)
        if draw.random() < 0.4 or not isinstance(place[key], (dict, list)):
            place[key] = copy.deepcopy(draw.choice(values))  # else it may hold itself
        place = place[key]
    return json.dumps(whole if draw.random() < 0.9 else draw.choice(values)).encode()


def strange_yaml(draw: Random) -> bytes:
    """Tags, anchors that multiply, keys of any kind."""
    many = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(b)}: &{chr(b)} [{', '.join(['*' + chr(b - 1)] * 9)}]\n" for b in range(98, 98 + draw.choice((3, 7)))
    )
    lines = (
        many, "a: !!python/object/apply:os.system [ls]\n", "a: &a [*a]\n", "a: &a {b: *a}\n", "? [a, b]\n: 1\n",
        "<<: [1, 2]\n",
        "a: &m {x: 1}\nb: {<<: *m}\n", "a: 2020-13-45\n", "a: !!binary x\n", "a: !!int x\n",
        "a: !!float [1]\n", "a: 1e999\n",
        "a: 0o99\nb: 0b2\n", "a: 1:99:99\n", "%YAML 9.9\n---\na: 1\n", "a: 1\n---\nb: 2\n", "{a: 1",
        "a: \x07\n", "a: !!set {b}\n",
        "a: " + "9" * 9000 + "\n", "? \n: \n", "a:\n\t- b\n", "- 1\n", "a: .nan\n", "!!map [a]\n",
        "a: !!timestamp x\n", "a: !<!> x\n",
    )  # fmt: skip
    return "".join(draw.choice(lines) for _ in range(draw.randint(1, 2))).encode()
