"""predict --onnx: the feeders and files of predict, in a process that cannot import PyTorch."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnx_files
import torch
import yaml
from places import ROOT
from predict_bench import Bench, walkers
from sandbox import Lab
from tiny_data import make_all

from skeleton_lab import cli, registry
from skeleton_lab.engine.evaluate import average as torch_average
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import onnx_network
from skeleton_lab.inference.network import Network
from skeleton_lab.utils import numpy_tensors
from skeleton_lab.utils.importing import import_class

# room, configuration, joints of its clips: every feeder, and every step that a test has
CASES = {
    "CTR-GCN": ("config/nturgbd-cross-subject/default.yaml", 25),
    "CTR-GCN-ucla": ("config/ucla/default.yaml", 20),
    "MS-G3D": ("config/nturgbd-cross-subject/train_joint_kaggle.yaml", 25),
    "MS-G3D-bone": ("config/nturgbd-cross-subject/train_bone.yaml", 25),
    "FreqMixFormer": ("config/nturgbd-cross-subject/motion.yaml", 25),
    "SkateFormer": ("config/train/ntu_cs/SkateFormer_bm.yaml", 24),
    "SkateFormer-ucla": ("config/train/nw_ucla/SkateFormer_b.yaml", 20),
    "Hyper-GCN": ("config/base/nturgbd-cross-subject/hyper_joint.yaml", 25),
    "ST-GCN": ("config/st_gcn/ntu-xsub/train.yaml", 25),
    "PYSKL": ("config/stgcnpp/ntu60_xsub_3dkp/b.yaml", 25),
    "PYSKL-coco": ("config/stgcnpp/ntu60_xsub_hrnet/jm.yaml", 17),
    "DeGCN": ("config/nturgbd-cross-subject/default.yaml", 25),
}
WHERE = ("data_path", "label_path", "split", "debug", "root")  # arguments of feeders that say where clips are
# In the process without PyTorch: what the feeder of each file makes of its archive, and what the network says to it;
# then the programs.
WITHOUT = """
import sys
sys.modules["torch"] = None
import json, pathlib
import numpy as np
from skeleton_lab import cli
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.inference import onnx_network
folder = pathlib.Path(sys.argv[1])
jobs = json.loads((folder / "jobs.json").read_text())
for case, (archive, label) in jobs["archives"].items():
    with onnx_network.opened(folder / f"{case}.onnx") as network:
        label = label and pathlib.Path(label)
        feeder = network.archive_feeder(pathlib.Path(archive), "test", label, [0, 1, 2, 3])
        made = feeder.inputs(feeder.work(Batch(range(4))))
        np.savez(folder / f"{case}.npz", *[x.numpy() for x in made], logits=network.logits(feeder))
for line in jobs["programs"]:
    assert cli.main(line) == 0, line
assert sys.modules["torch"] is None
"""


ELSEWHERE = {"PYSKL": "data/NTU60_CS.npz", "PYSKL-coco": "data/gym/gym_hrnet.pkl"}  # archives of one division


def source(case: str, arguments: dict, data: Path) -> tuple[str, str | None]:
    """The archive and its labels in the test's data."""
    if case.endswith("ucla"):
        return str(data / "data/NW-UCLA/all_sqe"), None
    path = data / ELSEWHERE.get(case, arguments["data_path"])
    return str(path), str(data / arguments["label_path"]) if path.suffix == ".npy" else None


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """By case: the inputs and logits of the process without PyTorch, and those of here; and the folder."""
    folder = make_all(tmp_path_factory.mktemp("onnx"))
    jobs: dict = {"archives": {}, "programs": []}
    expected = {}
    for case, (config, joints) in CASES.items():
        room = registry.find(case.removesuffix("-ucla").removesuffix("-bone").removesuffix("-coco"))
        given = yaml.safe_load((room.path / config).read_text())
        arguments = {key: value for key, value in given["test_feeder_args"].items() if key not in WHERE}
        ucla = "ucla" in given["feeder"]
        if ucla:  # the words of these feeders say the stream
            told = given["test_feeder_args"]["data_path"]
            arguments |= {"data_path": told, "label_path": "val"}
        elif "window_size" in arguments:
            arguments["window_size"] = 16
        if case == "PYSKL-coco":
            arguments["num_clips"] = 2
        archive, label = source(case, given["test_feeder_args"], folder)
        jobs["archives"][case] = archive, label
        where = {"root": archive} if ucla else {"data_path": archive, "label_path": label, "split": "test"}
        with registry.room(room.folder):
            feeder = import_class(given["feeder"], "feeder")(**arguments, **where)
            feeder.take_people(1 if ucla else 2)
            feeder.restrict(range(4))
            inputs = [x.numpy() for x in feeder.inputs(feeder.work(range(4)))]
        expected[case] = inputs
        channels = inputs[0].shape[feeder.axes.index("C") - 4]
        onnx_files.write(
            folder / f"{case}.onnx", feeder.axes, timed=len(inputs) > 1, room=room.image, feeder=given["feeder"],
            feeder_args=arguments, joints=joints, channels=channels, persons=1 if ucla else 2,
        )  # fmt: skip
    np.save(folder / "walk.npy", walkers())
    walk = ["predict", "--input", str(folder / "walk.npy"), "--keypoints", "coco17", "--window", "24", "--stride", "13"]
    for case in ("CTR-GCN", "MS-G3D-bone"):
        jobs["programs"].append(
            [*walk, "--onnx", str(folder / f"{case}.onnx"), "--output", str(folder / f"walk-{case}")]
        )
    jobs["programs"].append(
        ["predict", "--onnx", str(folder / "CTR-GCN.onnx"), "--input", str(folder / "data/NTU60_CS.npz"), "--output",
         str(folder / "archive")]
    )  # fmt: skip
    (folder / "films").mkdir()
    np.save(folder / "films" / "walk.npy", walkers())
    jobs["programs"].append(["predict", "--batch", str(folder / "films"), *walk[3:], "--onnx",
                             str(folder / "CTR-GCN.onnx"), "--output", str(folder / "films-out")])  # fmt: skip
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(folder)], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {"folder": folder, "out": done.stdout, "expected": expected}


@pytest.mark.slow
def test_a_folder_of_recordings_is_answered_as_one_recording(answers):
    """``--batch``, without PyTorch: the table has the windows that ``--input`` of that file has."""
    folder = answers["folder"]
    [clip] = json.loads((folder / "walk-CTR-GCN/predictions.json").read_text())["clips"]
    with open(folder / "films-out/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    told = [(w["who"], w["first_frame"], w["top"][0]["name"], w["top"][0]["probability"]) for w in clip["windows"]]
    assert [(r["who"], int(r["first_frame"]), r["class1"], float(r["p1"])) for r in rows] == told
    assert len(rows) > 2 and {row["file"] for row in rows} == {"walk.npy"}


@pytest.mark.parametrize("case", CASES)
def test_without_pytorch_feeders_make_the_same_bits(answers, case):
    made = np.load(answers["folder"] / f"{case}.npz")
    inputs = answers["expected"][case]
    assert set(made.files) == {"logits", *(f"arr_{k}" for k in range(len(inputs)))}
    for k, x in enumerate(inputs):
        assert made[f"arr_{k}"].dtype == x.dtype == np.float32
        np.testing.assert_array_equal(made[f"arr_{k}"], x)
    axes = "MTVC" if "PYSKL" in case else "CTVM"
    if inputs[0].ndim == 6:  # two clips of a sample
        apart = np.stack([onnx_files.linear(inputs[0][:, k], axes) for k in range(2)], 1)
        logits = torch_average(torch.from_numpy(apart), "prob").numpy()
    else:
        logits = onnx_files.linear(inputs[0], axes, *inputs[1:])
    np.testing.assert_allclose(made["logits"], logits, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_the_files_are_those_of_predict_with_weights(answers, tmp_path, monkeypatch, capsys):
    """Windows, persons, probabilities: predict.py with a network that computes the same, against the other process."""
    folder = answers["folder"]
    bench = Bench(Lab(folder, monkeypatch), "CTR-GCN", tmp_path)
    same = lambda x: torch.from_numpy(onnx_files.linear(x.numpy(), "CTVM"))  # noqa: E731
    monkeypatch.setattr(Network, "_in_precision", lambda self, _: same)
    assert bench("--keypoints coco17 --window 24 --stride 13", folder / "walk.npy") == 0
    walk = json.loads((folder / "walk-CTR-GCN/predictions.json").read_text())
    expected = bench.result()
    assert walk["onnx"].endswith("CTR-GCN.onnx") and "weights" not in walk
    assert {key: walk[key] for key in ("classes", "windows", "network", "keypoints", "fps")} == {
        key: expected[key] for key in ("classes", "windows", "network", "keypoints", "fps")
    }
    for clip, other in zip(walk["clips"], expected["clips"], strict=True):
        for row, same in zip(clip["windows"], other["windows"], strict=True):
            assert [row[key] for key in ("first_frame", "last_frame", "who")] == [
                same[key] for key in ("first_frame", "last_frame", "who")
            ]
            assert [each["class"] for each in row["top"]] == [each["class"] for each in same["top"]]
            p, q = ([each["probability"] for each in each_row["top"]] for each_row in (row, same))
            np.testing.assert_allclose(p, q, atol=1e-5)
    for made in ("walk-CTR-GCN", "walk-MS-G3D-bone", "archive"):
        assert "<canvas" in (folder / made / "predictions.html").read_text()
    archive = json.loads((folder / "archive/predictions.json").read_text())
    assert archive["accuracy"]["clips"] == len(archive["clips"]) > 4


def test_answers_of_several_clips_are_averaged_as_in_a_test():
    logits = np.random.default_rng(1).normal(0, 40, (5, 3, 7)).astype(np.float32)
    for mode in ("prob", "score"):
        told = torch_average(torch.from_numpy(logits), mode).numpy()
        np.testing.assert_allclose(onnx_network.average(logits, mode), told, rtol=1e-5, atol=1e-5)


def test_weights_may_lie_beside_the_file(tmp_path):
    """As other tools save large networks; from any folder."""
    whole = onnx_files.write(tmp_path / "net.onnx", feeder_args={"window_size": 16})
    beside = {"save_as_external_data": True, "location": "net.bin", "size_threshold": 1024}
    onnx.save(onnx.load(whole), tmp_path / "apart.onnx", **beside)
    assert (tmp_path / "net.bin").stat().st_size > 10 * (tmp_path / "apart.onnx").stat().st_size
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 25, 2)).astype(np.float32)
    with onnx_network.opened(tmp_path / "apart.onnx") as network:
        np.testing.assert_allclose(network.run([x]), onnx_files.linear(x, "CTVM"), atol=1e-4)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(UsageError, match=r"apart\.onnx cannot be read: .*net\.bin") as told:
        onnx_network.read(tmp_path / "apart.onnx")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("CTR-GCN --onnx net.onnx --input walk.npy", "takes no room: leave out CTR-GCN"),
        ("--onnx absent.onnx --input walk.npy", "--onnx absent.onnx: there is no such file"),
        ("--onnx walk.npy --input walk.npy", "--onnx walk.npy cannot be read"),
        ("--onnx plain.onnx --input walk.npy", "take a file of skeleton-lab export"),
        ("--onnx foreign.onnx --input walk.npy", "was not imported"),
        ("--onnx roomless.onnx --input walk.npy", "there is no room 'nowhere'"),
        ("--onnx net.onnx --input absent.npy", "absent.npy"),
        ("--onnx net.onnx --input walk.npy --keypoints coco17 --window 0", "are fixed; cut recordings"),
        ("--onnx wrong.onnx --input walk.npy --keypoints coco17", "feeder argument 'nonsense' is unknown"),
        ("--onnx net.onnx --input walk.npy --keypoints coco17 --classes names.txt", "the network has 60 classes"),
    ],
)
def test_bad_input_is_one_line(line, said, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    np.save("walk.npy", walkers(30, 1))
    Path("names.txt").write_text("one\ntwo\n")
    whole = {"room": "stgcn", "feeder": "feeder.feeder.Feeder"}
    onnx_files.write(Path("net.onnx"), frames=16, **whole)
    onnx_files.write(Path("foreign.onnx"), feeder="subprocess.Popen")
    onnx_files.write(Path("roomless.onnx"), room="nowhere")
    onnx_files.write(Path("wrong.onnx"), feeder_args={"window_size": 16, "nonsense": 1})
    model = onnx.load("net.onnx")
    del model.metadata_props[:]
    onnx.save(model, "plain.onnx")
    assert cli.main(["predict", *line.split()]) == 2
    told = capfd.readouterr()
    assert told.err.count("error:") == 1 and said in told.err.splitlines()[-1], told.err
    assert not Path("work_dir").exists()


def test_a_step_that_needs_pytorch_says_so():
    with pytest.raises(UsageError, match=r"torch\.nn.*pip install torch"):
        _ = numpy_tensors.nn


def test_sorting_and_gathering_are_pytorchs():
    """What the persons of OpenPose's frames are picked by; equal scores keep their order."""
    x = np.random.default_rng(2).integers(0, 3, (2, 5, 4, 3, 6)).astype(np.float32)
    picked = []
    for tools in (torch, numpy_tensors):
        clips = tools.from_numpy(x.copy())
        slot = tools.sort(-clips[:, :, :, 2].sum(2), dim=1, stable=True).indices[:, :2]
        made = clips.gather(1, slot[:, :, None, None].expand(-1, -1, 4, 3, 6))
        picked.append([slot.numpy(), made.numpy(), clips.amax(dim=(1, 2), keepdim=True).numpy()])
    for mine, theirs in zip(*picked):
        np.testing.assert_array_equal(mine, theirs)
