"""Every archive that a configuration or a document names, tiny, at the paths where they expect it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
from parity.kaggle_sample import make_kaggle_arrays, to_ntvm

FRAMES = 24  # of the clips; NTU's own 300 would only cost time


def make_all(root: Path) -> Path:
    """The tree ``root/data``, for programs that run in ``root``."""
    data = root / "data"
    kaggle = {key: x[:, :FRAMES] if key[0] == "x" else x for key, x in make_kaggle_arrays().items()}
    wide = {key: np.pad(y, ((0, 0), (0, 60))) if key[0] == "y" else y for key, y in kaggle.items()}
    for name, arrays in {
        "NTU60_CS": kaggle, "ntu/NTU60_CS": kaggle, "ntu/NTU60_CV": kaggle,
        "ntu120/NTU120_CSub": wide, "ntu120/NTU120_CSet": wide,
    }.items():  # fmt: skip
        path = data / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    for folder in ("ntu/xsub", "ntu/xview", "ntu120/xset", "ntu120/xsub", "NTU-RGB-D/xsub", "NTU-RGB-D/xview"):
        for split, part in (("train", "train"), ("test", "val")):
            save_pair(data / folder, part, to_ntvm(kaggle[f"x_{split}"]), kaggle[f"y_{split}"].argmax(1))
    rng = np.random.RandomState(0)
    for folder in ("kinetics", "Kinetics/kinetics-skeleton"):
        for part, count in (("train", 12), ("val", 8)):
            x = rng.standard_normal((count, 3, FRAMES, 18, 2)).astype(np.float32)
            save_pair(data / folder, part, x, np.arange(count))
    make_ucla(data / "NW-UCLA" / "all_sqe")
    for name, classes in (("ntu60", 60), ("ntu120", 120)):
        folder = data / ("ntu" if name == "ntu60" else name)
        make_pyskl(folder / f"{name}_3danno.pkl", 25, classes, flat=False)
        make_pyskl(folder / f"{name}_hrnet.pkl", 17, classes, flat=True)
    for name in ("gym", "k400"):
        make_pyskl(data / name / f"{name}_hrnet.pkl", 17, 99, flat=True)
    return root


def make_pyskl(file: Path, joints: int, classes: int, flat: bool) -> None:
    """A pickle as PYSKL publishes them: twelve clips, in every split the same."""
    rng = np.random.default_rng(5)
    annotations = []
    for i in range(12):
        x = rng.standard_normal((2 - i % 2, 20, joints, 3)).cumsum(1).astype(np.float16)
        entry = {"frame_dir": f"clip{i}", "label": i % classes, "total_frames": 20, "keypoint": x}
        if flat:
            entry |= {"keypoint": 500 + 50 * x[..., :2], "keypoint_score": np.ones(x.shape[:3], np.float16)}
            entry |= {"img_shape": (1080, 1920), "original_shape": (1080, 1920)}
        annotations.append(entry)
    names = [entry["frame_dir"] for entry in annotations]
    kinds = {"ntu60": ("xsub_", "xview_"), "ntu120": ("xsub_", "xset_")}.get(file.stem.split("_")[0], ("",))
    split = {f"{kind}{part}": names for kind in kinds for part in ("train", "val")}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps({"split": split, "annotations": annotations}))


def save_pair(folder: Path, part: str, x: np.ndarray, labels: np.ndarray) -> None:
    """x (N, C, T, V, M) under the names of joints, bones and plain data, and (names, labels)."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("data", "data_joint", "data_bone"):
        np.save(folder / f"{part}_{suffix}.npy", x)
    names = [f"{part}{i:03d}.skeleton" for i in range(len(x))]
    with open(folder / f"{part}_label.pkl", "wb") as file:
        pickle.dump((names, labels.tolist()), file, protocol=2)


def make_ucla(clips: Path) -> None:
    """Twelve training clips (views 1 and 2) and six test clips (view 3) of three actions."""
    rng = np.random.RandomState(0)
    clips.mkdir(parents=True)
    for action, label in ((1, 1), (2, 2), (12, 10)):
        for view in (1, 2, 3):
            for episode in range(2):
                name = f"a{action:02d}_s01_e{episode:02d}_v{view:02d}"
                skeletons = rng.standard_normal((10 + episode, 20, 3)).round(4).tolist()
                (clips / f"{name}.json").write_text(
                    json.dumps({"file_name": name, "skeletons": skeletons, "label": label})
                )
