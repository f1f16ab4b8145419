"""Tiny files of key points with scores, as pose estimators write them, and ones with strange values."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

T, V = 3, 17


def _people() -> np.ndarray:
    """(T, M=2, V, 3) x, y, score."""
    x = np.random.RandomState(5).uniform(100, 300, (T, 2, V, 3)).round(1)
    x[..., 2] = 0.9
    x[:, 1, :, 0] += 500
    return x


def _flat(person: np.ndarray) -> list[float]:
    return person.reshape(-1).tolist()


def _forms() -> dict[str, Any]:
    x = _people()
    people_first = x.swapaxes(0, 1)
    at = [(t, m, x[t, m]) for t in range(T) for m in (0, 1)]
    open_pose = [{"people": [{"person_id": [-1], "pose_keypoints_2d": _flat(p)} for p in frame]} for frame in x]
    return {
        "coco": [{"image_id": t, "id": 2 * t + m, "keypoints": _flat(p), "track_id": m} for t, m, p in at],
        "alphapose": [{"image_id": f"{t}.jpg", "keypoints": _flat(p), "idx": m} for t, m, p in at],
        "open": {f"{t}.jpg": frame for t, frame in enumerate(open_pose)},
        "openpose": open_pose,
        "openpose_frame": open_pose[0],
        "mmpose": {"instance_info": [
            {"frame_id": t + 1, "instances": [
                {"keypoints": p[:, :2].tolist(), "keypoint_scores": p[:, 2].tolist()} for p in frame
            ]} for t, frame in enumerate(x)
        ]},
        "ultralytics": [[
            {"track_id": m, "keypoints": {"x": p[:, 0].tolist(), "y": p[:, 1].tolist(), "visible": p[:, 2].tolist()}}
            for m, p in enumerate(frame)
        ] for frame in x],
        "landmarks": [[{"x": a, "y": b, "z": 0.1, "visibility": c} for a, b, c in frame[0].tolist()] for frame in x],
        "kinetics": {"data": [
            {"frame_index": t, "skeleton": [{"pose": _flat(p[:, :2]), "score": p[:, 2].tolist()} for p in frame]}
            for t, frame in enumerate(x)
        ]},
        "data_set": {
            "images": [{"id": 9 - t, "file_name": f"a/walk_{t}.jpg", "height": 400, "width": 900} for t in range(T)],
            "annotations": [{"image_id": 9 - t, "track_id": m, "keypoints": _flat(p)} for t, m, p in at],
        },
        "image": [{"keypoints": p[:, :2].tolist(), "keypoint_scores": p[:, 2].tolist()} for p in x[0]],
        "texts": [
            json.dumps([{"keypoints": {"x": p[:, 0].tolist(), "y": p[:, 1].tolist()}} for p in frame]) for frame in x
        ],
        "lists": x.tolist(),
        "mmaction": {"keypoint": people_first[..., :2].tolist(), "keypoint_score": people_first[..., 2].tolist()},
    }  # fmt: skip


def form(name: str) -> Callable[[], bytes]:
    return lambda: json.dumps(_forms()[name]).encode()


SEEDS = tuple(form(name) for name in ("coco", "alphapose", "open", "openpose", "mmpose", "ultralytics", "landmarks",
                                      "kinetics", "data_set", "image", "texts", "lists"))  # fmt: skip


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, _people())
    return file.getvalue()


def npz() -> bytes:
    x, file = _people().swapaxes(0, 1), io.BytesIO()
    np.savez(file, keypoint=x[..., :2], keypoint_score=x[..., 2])
    return file.getvalue()


def deeplabcut() -> bytes:
    """Two individuals with likelihoods."""
    x = _people()
    columns = [(m, v, c) for m in range(2) for v in range(V) for c in range(3)]
    rows = [["scorer", *["net"] * len(columns)], ["individuals", *[f"mouse{m}" for m, _, _ in columns]],
            ["bodyparts", *[f"part{v}" for _, v, _ in columns]],
            ["coords", *[("x", "y", "likelihood")[c] for _, _, c in columns]],
            *[[t, *[frame[k] for k in columns]] for t, frame in enumerate(x)]]  # fmt: skip
    return "\n".join(",".join(map(str, row)) for row in rows).encode()


def strange_json(draw: Random) -> bytes:
    """The words of the tools, and values that their files have had: null, NaN, nobody, numbers of any size."""
    values = (
        None, float("nan"), float("inf"), -1, 0, 2**70, 1e308, -1.5, True, "x", "7", [], {}, [[]], [None], [0.0] * 51,
        [1.0] * 36, [[1, 2, 0.01]] * 17, [[None, None]] * 17, "999999.jpg", {"x": [1], "y": []}, [{}], 10**6,
    )  # fmt: skip
    whole = draw.choice(list(_forms().values()))
    for _ in range(draw.randint(1, 3)):
        place = whole
        for _ in range(draw.randint(1, 6)):
            keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else ()
            if not keys:
                break
            key = draw.choice(keys)
            if draw.random() < 0.3 or not isinstance(place[key], (dict, list)):
                place[key] = copy.deepcopy(draw.choice(values))
            place = place[key]
    return json.dumps(whole).encode()


def strange_array(draw: Random) -> bytes:
    """Arrays of nearly the right shape with NaN, infinity, and scores of any size."""
    shape = [draw.choice((0, 1, 2, 3, 5, 6)) for _ in range(draw.randint(1, 4))]
    shape[draw.randrange(len(shape))] = draw.choice((1, 3, 40, 80))
    shape += [draw.choice((17, 18, 25)), draw.choice((2, 3, 4))]
    x = np.random.RandomState(draw.randrange(2**31)).uniform(-1, 300, [min(n, 6) for n in shape])
    x = np.resize(x, shape)
    kind = draw.choice(("f2", "f4", "f8", "i4"))
    x = x.astype(kind)
    for _ in range(draw.randint(0, 3) if x.size and kind != "i4" else 0):
        x.reshape(-1)[draw.randrange(x.size)] = draw.choice((np.nan, np.inf, 3e4, 0, -1, 1e-5))
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def use(ending: str) -> Callable[[Path, bytes], object]:
    """Reads the input as predict.py does, in every order of joints that may be meant, and places it."""

    def read(folder: Path, data: bytes) -> None:
        from skeleton_lab.inference.keypoints import normalise, reading
        from skeleton_lab.skeletons.schemes import SCHEMES

        path = folder / ending
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        source = path if path.parent == folder else path.parent
        if not reading.is_keypoints(source):
            return

        def choose(V: int, where: str):
            return normalise.scheme_of({25: "body25", 17: "coco17"}.get(V), V, where)

        found, scheme = reading.read(source, choose)
        for keypoints in found[:4]:
            normalise.placed(keypoints, scheme, SCHEMES["ntu25"])

    return read
