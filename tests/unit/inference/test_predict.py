"""predict.py of every supervised room: key points and archives in, the logits of the test phase out."""

from __future__ import annotations

import json
import os
import pickle
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from predict_bench import CASES, Bench, walkers
from sandbox import FEW, Lab
from tiny_data import FRAMES, make_all

from skeleton_lab import registry
from skeleton_lab.data.synthetic import skeleton_files
from skeleton_lab.inference import network as predict_network
from skeleton_lab.inference import predictions
from skeleton_lab.inference import windows as predict_clips
from skeleton_lab.skeletons.figure import places as figure
from skeleton_lab.skeletons.schemes import H36M17

EVERY = pytest.mark.parametrize("bench", CASES, indirect=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_all(tmp_path_factory.mktemp("predict"))


@pytest.fixture
def lab(data, monkeypatch) -> Lab:
    return Lab(data, monkeypatch)


@pytest.fixture
def bench(lab, tmp_path, request) -> Bench:
    return Bench(lab, request.param, tmp_path)


@pytest.mark.slow
@EVERY
def test_keypoints_in_every_room(bench, capsys, tmp_path):
    """Windows, persons, table, JSON, page and picture."""
    np.save(tmp_path / "walk.npy", walkers())
    assert bench("--keypoints coco17 --window 24 --stride 13 --fps 25", tmp_path / "walk.npy") == 0
    out = capsys.readouterr().out
    result = bench.result()
    [clip] = result["clips"]
    rows = [(w["first_frame"], w["last_frame"], w["who"]) for w in clip["windows"]]
    single = "ucla" in str(bench.given["feeder"])
    expected = []
    for first in (0, 13, 26):
        two = first > 0
        expected += [] if single and two else [(first, first + 23, "all")]
        expected += [(first, first + 23, f"person {m}") for m in (1, 2)] if two else []
    assert rows == expected
    assert [clip["windows"][-1][key] for key in ("begin_s", "end_s")] == [1.04, 2.0]
    for window in clip["windows"]:
        shares = [each["probability"] for each in window["top"]]
        assert len(shares) == 5 and shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.00001
        best = window["top"][0]
        assert result["classes"][best["class"]] == best["name"] and best["name"] in out
    assert result["classes"][0] == ("pick up with one hand" if single else "drink water")
    page = (bench.output / "predictions.html").read_text()
    assert "<canvas" in page and "src=" not in page and clip["windows"][0]["top"][0]["name"] in page
    assert (bench.output / "predictions.png").read_bytes().startswith(b"\x89PNG")


def source_of(bench: Bench) -> tuple[Path, list[str]]:
    """The archive that the configuration names, in the test's data, and what predict needs to read it."""
    args = bench.given["test_feeder_args"]
    if "ucla" in bench.given["feeder"]:
        return bench.lab.root / "data/NW-UCLA/all_sqe", []
    path = Path.cwd() / args["data_path"]
    return path, ["--label-path", str(Path.cwd() / args["label_path"])] if path.suffix == ".npy" else []


@pytest.mark.slow
@EVERY
def test_archive_logits_are_those_of_the_test_phase(bench, tmp_path, monkeypatch):
    """Bit for bit: whole clips of the archive against the scores that main.py --phase test saves."""
    path, more = source_of(bench)
    where = tmp_path / "test"
    flags = f"{FEW} --phase test --config {bench.config} --weights {bench.weights} --work-dir {where}"
    save = "--save-result" if bench.room.folder == "ST-GCN" else "--save-score True"
    line = flags.replace("--num-epoch 1 --batch-size 6 ", "").replace("--test-batch-size 8 ", "")
    sub = "recognition " if bench.room.folder == "ST-GCN" else ""
    assert bench.lab(bench.room.folder, f"{sub}{line} {save}") == 0
    [scores] = [*where.rglob("*score.pkl"), *where.rglob("test_result.pkl")]
    expected = np.stack(list(pickle.loads(scores.read_bytes()).values()))

    seen = {}
    kept = predict_clips.Row

    def spy(k, first, last, who, logits=None):
        row = kept(k, first, last, who) if logits is None else kept(k, first, last, who, logits)
        seen.setdefault((who, k), row)
        return row

    monkeypatch.setattr("skeleton_lab.inference.predict.Row", spy)
    assert bench(" ".join(more), path) == 0
    logits = np.stack([seen["all", k].logits for k in range(len(expected))])
    np.testing.assert_array_equal(logits, expected)
    tops = [clip["windows"][0]["top"][0]["class"] for clip in bench.result()["clips"]]
    assert tops == expected.argmax(1).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN", "SkateFormer", "CTR-GCN-ucla", "ST-GCN", "MS-G3D"], indirect=True)
def test_clips_in_memory_give_the_logits_of_the_archive(bench, data, monkeypatch):
    """Clips cut out of an archive and sent through arrays: the same logits, so their form is the feeder's."""
    path = data / ("data/NW-UCLA/all_sqe" if case_is_ucla(bench) else "data/NTU60_CS.npz")
    network = bench.network()
    monkeypatch.setattr(
        predict_network, "FRAMES", FRAMES
    )  # whole-clip networks see the padding, and this archive has less
    with registry.room(bench.room.folder):
        feeder = network.archive_feeder(path, "test", None, [0, 2, 4])
        recordings = predict_clips.Stored(feeder.clips, ["a", "b", "c"], None, None)
        rows = predict_clips.rows_of(recordings, 0, 1, 2, alone=False)
        clips = [predict_clips.cut(recordings, row, centre=False) for row in rows]
        made = network.clips_logits(iter(clips), len(clips))
        expected = network.logits(feeder)
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def case_is_ucla(bench: Bench) -> bool:
    return "ucla" in bench.given["feeder"]


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN"], indirect=True)
def test_other_skeletons_windows_and_names(bench, data, tmp_path, capsys):
    """NW-UCLA clips in an NTU network; windows of an archive; own names; several clips in one file."""
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"act {k}" for k in range(60)))
    assert bench(f"--classes {names}", data / "data/NW-UCLA/all_sqe") == 0
    result = bench.result()
    assert result["keypoints"] == "ucla20" and len(result["clips"]) == 6 and "label" not in result["clips"][0]
    assert re.fullmatch(r"act \d+", result["clips"][0]["windows"][0]["top"][0]["name"])
    assert bench("--window 10 --stride 7 --index 1 0 --together", data / "data/NTU60_CS.npz") == 0
    clips = bench.result()["clips"]
    assert len(clips) == 2 and {w["who"] for clip in clips for w in clip["windows"]} == {"all"}
    assert clips[0]["windows"][-1]["last_frame"] < FRAMES
    x = np.stack([walkers(20, 1)] * 3)
    (tmp_path / "three.json").write_text(json.dumps(x.tolist()))
    assert bench("--keypoints coco17", tmp_path / "three.json") == 0
    assert [clip["name"] for clip in bench.result()["clips"]] == ["three_0", "three_1", "three_2"]
    same = [clip["windows"][0]["top"] for clip in bench.result()["clips"]]
    assert same[0] == same[1] == same[2]
    (bench.output / "predictions.json").unlink()
    names.write_text("one\ntwo\n")
    capsys.readouterr()
    assert bench(f"--classes {names} --keypoints coco17", tmp_path / "three.json") == 2
    assert "has 2 names, one per line; the network has 60 classes" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN"], indirect=True)
def test_mistakes_are_one_line(bench, tmp_path, capsys):
    def told(line: str, file: Path) -> str:
        assert bench(line, file) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1, error
        return error

    good = tmp_path / "good.npy"
    np.save(good, walkers(10, 1))
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, walkers(10, 1)[:, :, :15])
    assert "15 joints per person, --keypoints coco17 has 17" in told("--keypoints coco17", wrong)
    assert "--keypoints" in told("", good)
    nan = walkers(10, 1)
    nan[4, 0, 3, 0] = np.inf
    np.save(wrong, nan)
    assert "infinite key points in frame 4" in told("--keypoints coco17", wrong)
    wrong.write_bytes(b"")
    assert "is empty (0 bytes)" in told("", wrong)
    wrong.write_bytes(b"hello, no key points")
    assert "no known format" in told("", wrong)
    assert "does not exist" in told("", tmp_path / "nothing.json")
    for flag, words in {
        "--window -1": "--window -1",
        "--stride 0": "at least 1 frame",
        "--fps 0": "--fps 0",
        "--score -0.1": "--score -0.1 must be 0 or more",
        "--score nan": "--score nan",
        "--score 2": "no score of good reaches --score 2",
        "--up z": "have no z",
        "--up -w": "--up",
        "--keypoints coco": "invalid choice",
        "--devise cpu": "Did you mean '--device'?",
        f"--output {good}": "is a file",
        f"--classes {tmp_path / 'no.txt'}": "cannot be read",
        "--weights nothing.pt": "there is no file nothing.pt",
        "--config nothing.yaml": "nothing.yaml",
    }.items():
        assert words in told(f"--keypoints coco17 {flag}" if "keypoints" not in flag else flag, good)
    for flag in ("--index 0", "--split train", "--label-path nope"):
        assert "is for archives" in told(f"--keypoints coco17 {flag}", good)
    assert "has labels of its own" in told("--label-path nope", bench.lab.root / "data/NTU60_CS.npz")
    for flag in ("--up z", "--score 0.5"):
        assert "are taken as they are" in told(flag, bench.lab.root / "data/NTU60_CS.npz")
    assert "has 8 clips, 0 to 7" in told("--index 99", bench.lab.root / "data/NTU60_CS.npz")
    assert not bench.output.exists() or not any(bench.output.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN"], indirect=True)
def test_what_was_decided_is_said_and_the_prediction_goes_on(bench, tmp_path, capsys):
    """People first, a guessed wrist, a gap: a line each on stderr, and the classes of the same recording put right."""
    x = walkers(60, 1)
    right, guessed = x.copy(), x.copy()
    guessed[20, 0, 9] = 5000, 5000, 0.01
    right[20, 0, 9] = 0
    np.save(tmp_path / "right.npy", right)
    np.save(tmp_path / "guessed.npy", guessed.swapaxes(0, 1))
    tops = []
    for name in ("right", "guessed"):
        assert bench("--keypoints coco17 --window 0", tmp_path / f"{name}.npy") == 0
        tops.append(bench.result()["clips"][0]["windows"][0]["top"])
    assert tops[0] == tops[1]
    said = capsys.readouterr().err.splitlines()
    assert [("people first" in line, "--score" in line) for line in said] == [(True, False), (False, True)]
    assert bench("--keypoints coco17 --window 0 --score 0", tmp_path / "guessed.npy") == 0
    assert bench.result()["clips"][0]["windows"][0]["top"] != tops[0]
    at = figure(H36M17)
    world = np.stack([at[:, 0], np.full(17, 2.0), at[:, 1]], 1) * 1000  # millimetres, z up, as FreeMoCap has it
    world = world + np.random.default_rng(0).normal(0, 5, (60, 1, 17, 3))
    np.save(tmp_path / "world.npy", world)
    capsys.readouterr()
    assert bench("--keypoints h36m17", tmp_path / "world.npy") == 0
    assert "--up z if that axis is" in capsys.readouterr().err
    for up in ("--up z", "--up -z"):
        assert bench(f"--keypoints h36m17 {up}", tmp_path / "world.npy") == 0
        assert ("--up z" in capsys.readouterr().err) == (up == "--up -z")


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN-ucla"], indirect=True)
def test_ntu_clips_in_a_network_of_one_person(bench, data):
    assert bench("--index 0 1 2 3", data / "data/NTU60_CS.npz") == 0
    result = bench.result()
    assert result["keypoints"] == "ntu25" and result["classes"][1] == "pick up with two hands"
    with np.load(data / "data/NTU60_CS.npz") as file:
        there = file["x_test"][:4].reshape(4, FRAMES, 2, 75).any(3)
    expected = []
    for clip in there:
        clip = clip[: np.flatnonzero(clip.any(1))[-1] + 1]
        two = clip.any(0).all()
        expected.append([f"person {m + 1}" for m in (0, 1) if clip[:, m].mean() >= 0.25] if two else ["all"])
    assert [[w["who"] for w in clip["windows"]] for clip in result["clips"]] == expected
    assert ["all"] in expected and ["person 1", "person 2"] in expected


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN"], indirect=True)
def test_accuracy_of_an_archive_is_that_of_the_test_phase(bench, data, tmp_path, capsys):
    path = data / "data/NTU60_CS.npz"
    assert bench("--together", path) == 0
    told = bench.result()["accuracy"]
    with np.load(path) as file:
        labels = file["y_test"].argmax(1)
    network = bench.network()
    with registry.room(bench.room.folder):  # the logits themselves: shares as small as these may be equal
        tops = np.argsort(-network.logits(network.archive_feeder(path, "test", None, None)), axis=1)[:, :5]
    first = np.mean([top[0] == label for top, label in zip(tops, labels)])
    five = np.mean([label in top for top, label in zip(tops, labels)])
    assert told == {"top1": first, "top5": five, "clips": len(labels), "left_out": 0}
    line = f"top-1 {100 * first:.2f} %, top-5 {100 * five:.2f} % of {len(labels)} labelled clips"
    assert line in capsys.readouterr().out and line in (bench.output / "predictions.html").read_text()
    assert bench("--window 10 --stride 10", path) == 0
    assert bench.result()["accuracy"]["clips"] == len(labels) and bench.result()["windows"]


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN"], indirect=True)
def test_raw_recordings(bench, tmp_path, capsys):
    """A file, a folder with a damaged one, and the same clip as the archive's own pipeline makes it."""
    folder = tmp_path / "raw"
    [first, *_] = sorted(skeleton_files.write(folder, 3, show=False))
    assert bench("--window 0", first) == 0
    [clip] = bench.result()["clips"]
    assert clip["name"] == first.name.partition(".")[0] and clip["label"] == int(clip["name"][-3:]) - 1
    alone = tmp_path / "walk.skeleton"
    alone.write_bytes(first.read_bytes())
    assert bench("--window 0", alone) == 0, "any name"
    [same] = bench.result()["clips"]
    assert same["name"] == "walk" and "label" not in same and same["top"] == clip["top"]
    (folder / "walk.skeleton").write_bytes(first.read_bytes())
    first.write_bytes(first.read_bytes()[:2000])
    capsys.readouterr()
    assert bench("--window 0", folder) == 0
    assert bench.result()["clips"].pop()["name"] == "walk", "in a folder, too"
    (folder / "walk.skeleton").unlink()
    assert bench("--window 0", folder) == 0
    err = capsys.readouterr().err
    assert f"left out: {first}" in err and err.count("left out") == 2 and len(bench.result()["clips"]) == 2
    assert bench("", first) == 2 and str(first) in capsys.readouterr().err
    assert bench("--split train", alone) == 2 and "is for archives" in capsys.readouterr().err
    for flag in ("--score 0.1", "--keypoints body25"):
        assert bench(flag, alone) == 2 and f"{flag[:7]}" in capsys.readouterr().err


class Harm:
    def __reduce__(self):
        return os.system, ("touch harm",)


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN"], indirect=True)
def test_annotations_of_pyskl(bench, tmp_path, capsys, monkeypatch):
    """One dict, a list, 2-D with scores; those of nobody are named; what could run does not."""
    monkeypatch.chdir(tmp_path)
    flat = walkers(40, 2).transpose(1, 0, 2, 3)
    named = "S001C001P001R001A004"  # else nothing tells that label 3 is a class of the network
    one = {"frame_dir": named, "label": 3, "keypoint": flat[..., :2].astype(np.float16), "total_frames": 40,
           "keypoint_score": flat[..., 2].astype(np.float16), "img_shape": (1080, 1920)}  # fmt: skip
    nobody = one | {
        "frame_dir": "nobody",
        "keypoint": np.zeros((0, 40, 17, 2)),
        "keypoint_score": np.zeros((0, 40, 17)),
    }
    path = tmp_path / "clip.pkl"
    path.write_bytes(pickle.dumps(one))
    assert bench("--window 24", path) == 0
    [single] = bench.result()["clips"]
    assert single["name"] == named and single["label"] == 3 and bench.result()["keypoints"] == "coco17"
    path.write_bytes(pickle.dumps(one | {"frame_dir": "mine"}))
    assert bench("--window 24", path) == 0
    assert bench.result()["clips"] == [{k: v for k, v in single.items() if "label" not in k} | {"name": "mine"}]
    np.save(tmp_path / "same.npy", flat.astype(np.float16).astype(float).transpose(1, 0, 2, 3))
    assert bench("--window 24 --keypoints coco17", tmp_path / "same.npy") == 0
    assert bench.result()["clips"][0]["windows"] == single["windows"]
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps([nobody, one], protocol))
        capsys.readouterr()
        assert bench("--window 24", path) == 0
        assert bench.result()["clips"] == [single]
        assert "left out: " in (err := capsys.readouterr().err) and "nobody" in err and err.count("\n") == 1
    for content, words in (
        (nobody, "holds nobody"),
        (one | {"keypoint": "no array"}, f"{named}: 'keypoint' is str"),
        (one | {"keypoint_score": np.ones(3)}, "keypoint_score"),
        (one | {"x": Harm()}, "system"),
    ):
        path.write_bytes(pickle.dumps(content))
        assert bench("", path) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_windows_are_those_of_the_configuration(lab, tmp_path, case):
    bench = Bench(lab, case, tmp_path)
    expected = {"CTR-GCN": 16, "CTR-GCN-ucla": 52, "MS-G3D": 16, "MS-G3D-bone": 16, "ST-GCN": None, "Hyper-GCN": 16}
    assert bench.network().window == expected.get(case, 64)


@pytest.mark.slow
@pytest.mark.parametrize("bench", ["CTR-GCN"], indirect=True)
def test_windows_of_keypoints_come_from_the_configuration_and_are_told(bench, tmp_path, capsys):
    np.save(tmp_path / "walk.npy", walkers(40, 1))
    assert bench("--keypoints coco17", tmp_path / "walk.npy") == 0
    spans = [(w["first_frame"], w["last_frame"] + 1) for w in bench.result()["clips"][0]["windows"]]
    assert spans == [(0, 16), (8, 24), (16, 32), (24, 40)]
    assert "windows of 16 frames, every 8" in capsys.readouterr().out


def test_a_long_table_says_what_it_leaves_out():
    best = [{"class": 0, "name": "walk", "probability": 1.0}]
    row = {"last_frame": 19, "begin_s": 0.0, "end_s": 0.7, "who": "all", "top": best}
    rows = [row | {"first_frame": first} for first in (0, 10)]
    content = {"clips": [{"name": f"clip{k}", "top": {"all": best}, "windows": rows} for k in range(70)]}
    lines = list(predictions.table(content))
    assert "... and 80 more rows, all of them in the JSON file" in lines
    assert lines[-1] == "... and 10 more means, all of them in the JSON file" and "clip59, mean" in lines[-2]


def test_a_label_stands_once_beside_its_clip():
    row = {"first_frame": 0, "last_frame": 19, "begin_s": 0.0, "end_s": 0.7, "who": "all", "top": []}
    clip = {"name": "clip", "label_name": "walk", "top": {}, "windows": [row, row | {"first_frame": 10}]}
    lines = list(predictions.table({"clips": [clip]}))
    assert ["label: walk" in line for line in lines] == [False, True, False]


def test_windows_cover_everything():
    assert predict_clips.windows(50, 24, 13) == [(0, 24), (13, 37), (26, 50)]
    assert predict_clips.windows(64, 64, 32) == [(0, 64)] == predict_clips.windows(64, 0, 32)
    assert predict_clips.windows(70, 64, 32) == [(0, 70)]  # not (6, 70), which is almost the same
    assert predict_clips.windows(111, 64, 32) == [(0, 64), (32, 111)]
    assert predict_clips.windows(112, 64, 32) == [(0, 64), (32, 96), (48, 112)]
    assert predict_clips.windows(5, 64, 32) == [(0, 5)]
    for T in range(1, 60):
        for window in (1, 7, 20):
            for stride in (1, 5, 30):
                made = predict_clips.windows(T, window, stride)
                assert made[0][0] == 0 and made[-1][1] == T and len(set(made)) == len(made)
                assert all(end - first == min(window, T) for first, end in made[:-1])
                first, end = made[-1]
                assert min(window, T) <= end - first < min(window, T) + max(window, stride) / 2
                assert len(made) < 2 or 2 * (end - made[-2][1]) >= min(window, stride)


@pytest.mark.parametrize("room", [room for room in registry.ROOMS if room.program], ids=lambda room: room.folder)
def test_script_stands_in_the_room(room, monkeypatch, capsys):
    """As the documents start it; the images copy whole rooms."""
    script = room.path / "predict.py"
    monkeypatch.setattr("sys.argv", ["predict.py", "--help"])
    with pytest.raises(SystemExit) as done, registry.room(room.folder):
        runpy.run_path(str(script), run_name="__main__")
    out = capsys.readouterr().out
    assert done.value.code == 0 and room.folder in out and "--keypoints" in out and "--stride" in out
    images = (ROOT / f"{room.image}.docker").read_text()
    assert re.search(rf"arrange\.sh {room.folder}\b", images)
    assert 'cp -R "$lab/$1" "$out"' in (ROOT / "docker/arrange.sh").read_text()


@pytest.mark.slow
def test_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "predict.py", "--config", "a.yaml", "--weights", "b.pt", "--input", "c.json"],
        cwd=registry.find("CTR-GCN").path, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and "a.yaml" in done.stderr
