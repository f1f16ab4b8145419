"""Recordings of one's own for tests: synthetic people in front of a camera, written as pose estimators write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import class_names
from skeleton_lab.data.synthetic.actions import SINGLE
from skeleton_lab.data.synthetic.recorder import Recorder
from skeleton_lab.skeletons import layouts

WIDTH, HEIGHT = 1280, 720
FOCAL, DISTANCE = 900.0, 3.5  # pixels; metres
# Each of COCO's joints as a mean of NTU RGB+D's; the face lies around the head.
FROM_NTU = [[3], [3], [3], [3], [3], [4], [8], [5], [9], [6], [10], [12], [16], [13], [17], [14], [18]]
FACE = np.array([[0, 0, -0.1], [0.03, 0.03, -0.08], [-0.03, 0.03, -0.08], [0.07, 0, 0], [-0.07, 0, 0]])


def actions(count: int) -> list[int]:
    """Labels of NTU RGB+D of ``count`` actions of one person."""
    return sorted(SINGLE)[:count]


def people(
    labels: Sequence[int], clips: int, frames: int = 60, seed: int = 0
) -> tuple[np.ndarray, list[str], list[int]]:
    """(N, T, 25, 3) metres of the first person, zeros behind the end; names of classes; subjects."""
    recorder = Recorder(0, "train", list(labels), frames)
    x = np.zeros((clips, frames, 150), np.float32)
    recorder.record(np.arange(clips), x)
    plan = recorder.plan(np.arange(clips))
    names = [class_names.ntu()[label].replace(" ", "_") for label in plan.label]
    return x[..., :75].reshape(clips, frames, 25, 3), names, plan.subject.tolist()


def seen(clip: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(T, 25, 3) metres as an estimator of COCO's joints sees it: (t, 17, 3) pixels and scores, noisy, with gaps."""
    clip = clip[clip.any((1, 2))].astype(np.float64)
    body = np.stack([clip[:, joints].mean(1) for joints in FROM_NTU], 1)
    body[:, :5] += FACE
    depth = DISTANCE + body[..., 2]
    x = WIDTH / 2 - FOCAL * body[..., 0] / depth
    y = HEIGHT / 2 - FOCAL * body[..., 1] / depth
    score = random.uniform(0.6, 1, x.shape)
    lost = random.random(x.shape) < 0.03
    made = np.stack([x, y, score], -1)
    made[..., :2] += random.normal(0, 1.5, made[..., :2].shape)
    made[lost] = [0, 0, 0]
    return made.round(3)


def ultralytics(clip: np.ndarray) -> list[str]:
    """What ``[result.to_json() for result in model(video)]`` gives: a text for each frame."""
    return [
        json.dumps([{
            "name": "person", "class": 0, "confidence": 0.9, "box": {"x1": 0, "y1": 0, "x2": 1, "y2": 1}, "track_id": 1,
            "keypoints": {"x": frame[:, 0].tolist(), "y": frame[:, 1].tolist(), "visible": frame[:, 2].tolist()},
        }])
        for frame in clip
    ]  # fmt: skip


def openpose(folder: Path, clip: np.ndarray) -> None:
    """A file for each frame."""
    folder.mkdir(parents=True)
    for t, frame in enumerate(clip):
        content = {"people": [{"pose_keypoints_2d": frame.reshape(-1).tolist()}]}
        (folder / f"{folder.name}_{t:012d}_keypoints.json").write_text(json.dumps(content))


def mmpose(clip: np.ndarray) -> dict:
    return {"meta_info": {}, "instance_info": [
        {"frame_id": t + 1, "instances": [{"keypoints": f[:, :2].tolist(), "keypoint_scores": f[:, 2].tolist()}]}
        for t, f in enumerate(clip)
    ]}  # fmt: skip


def data_set(clips: dict[str, np.ndarray], names: Sequence[str] | None = None) -> dict:
    """COCO's form: a folder of images for each clip, visibility for scores."""
    images, annotations = [], []
    for video, clip in clips.items():
        for t, frame in enumerate(clip):
            number = len(images) + 1000
            images.append({"id": number, "file_name": f"{video}/{t:05d}.jpg", "width": WIDTH, "height": HEIGHT})
            seen_at = np.where(frame[:, 2:] > 0, 2, 0)
            keypoints = np.concatenate([frame[:, :2], seen_at], 1).reshape(-1).tolist()
            annotations.append({"id": number, "image_id": number, "category_id": 1, "keypoints": keypoints})
    names = layouts.layout("coco17").joints if names is None else names
    categories = [{"id": 1, "name": "person", "keypoints": list(names), "skeleton": []}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_labels(path: Path, rows: Iterable[dict]) -> Path:
    rows = list(rows)
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        table.writeheader()
        table.writerows(rows)
    return path


def study(folder: Path, classes: int = 5, each: int = 20, frames: int = 60) -> Path:
    """``recordings/`` of some actions as Ultralytics' JSON and ``labels.csv`` with the subjects; the folder."""
    x, names, subjects = people(actions(classes), classes * each, frames)
    random = np.random.default_rng(0)
    (folder / "recordings").mkdir(parents=True)
    rows = []
    for k, (clip, name, subject) in enumerate(zip(x, names, subjects)):
        file = f"video_{k:03d}.json"
        (folder / "recordings" / file).write_text(json.dumps(ultralytics(seen(clip, random))))
        rows.append({"file": file, "label": name, "subject": f"s{subject:02d}"})
    write_labels(folder / "labels.csv", rows)
    return folder
