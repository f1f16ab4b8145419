"""Ensembles against a plain loop, as the published script computes them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from score_files import STREAMS, K, N, published, recipe, write

from skeleton_lab.ensemble.program import FITTED, Recipe, accuracy, combine, fit


@pytest.mark.parametrize(
    ("streams", "flags", "weights"),
    [
        (("joint", "bone"), (), (1, 1)),
        (("joint", "bone"), ("--alpha", "0.3"), (1, 0.3)),
        (("joint", "joint-motion"), ("--alpha", "0.5"), (1, 0.5)),
        (STREAMS[:3], (), (0.6, 0.6, 0.4)),
        (STREAMS, (), (0.6, 0.6, 0.4, 0.4)),
        (STREAMS, ("--weights", "1", "0.2", "0.1", "0"), (1, 0.2, 0.1, 0)),
    ],
)
def test_fixed_weights_give_the_published_numbers(lab, streams, flags, weights):
    code, out, _ = lab(*flags, streams=streams)
    top1, top5 = published([lab.scores[stream] for stream in streams], lab.labels, weights)
    assert code == 0
    assert f"\nTop1 Acc: {top1:.4f}%\nTop5 Acc: {top5:.4f}%\n" in out
    assert FITTED not in out


def test_fitted_weights_are_apart_and_named_so(lab):
    _, fixed, _ = lab()
    code, out, _ = lab("--fit", "--json", str(lab.folder / "result.json"))
    assert code == 0
    assert out.startswith(fixed)
    extra = out[len(fixed) :].splitlines()
    assert len(extra) == 2 and all(line.startswith("fitted on test (optimistic): ") for line in extra)
    result = json.loads((lab.folder / "result.json").read_text())
    assert result["fitted"]["note"] == FITTED
    assert result["fitted"]["top1"] >= result["ensemble"]["top1"]
    assert result["ensemble"]["weights"] == {"joint": 0.6, "bone": 0.6, "joint-motion": 0.4, "bone-motion": 0.4}
    assert [stream["stream"] for stream in result["streams"]] == list(STREAMS)


def test_fit_finds_the_one_good_stream():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, K, 200)
    good = np.eye(K)[labels] + 0.45 * rng.normal(size=(200, K))
    scores = np.stack([2 * rng.normal(size=(200, K)), good, 2 * rng.normal(size=(200, K))]).astype(np.float32)
    weights = fit(scores, labels)
    assert weights[1] > max(weights[0], weights[2])
    assert accuracy(combine(scores, weights), labels)[0] > accuracy(combine(scores, [0.6] * 3), labels)[0] + 0.1
    assert fit(scores, labels) == weights


def test_any_number_of_streams(lab):
    more = ("--extra-dir", str(lab.folder / "joint"), str(lab.folder / "bone" / "epoch1_test_score.pkl"))
    code, out, _ = lab(*more, "--weights", *"123456")
    six = [lab.scores[stream] for stream in (*STREAMS, "joint", "bone")]
    assert code == 0 and f"Top1 Acc: {published(six, lab.labels, range(1, 7))[0]:.4f}%" in out
    code, out, _ = lab(*more, "--fit")
    assert code == 0 and "Top1 Acc" not in out and FITTED in out
    code, _, err = lab(*more)
    assert code == 2 and "--weights" in err


def test_accuracy_on_ties_and_few_classes():
    logits = np.array([[1, 1, 0], [0, 2, 2]], dtype=np.float32)
    assert accuracy(logits, np.array([0, 2])) == (0.5, 1.0)  # the first maximum counts; three classes are all in five


def test_usual_weights_of_any_two():
    assert Recipe().weights(("bone", "bone-motion"), "NW-UCLA", 0.7) == [1, 0.7]


# joint, bone, joint motion, bone motion, as the published programs of Hyper-GCN have them
HYPER = {
    ("base", "ntu/xsub"): (1, 1.4, 1.1, 0.3),
    ("base", "ntu/xview"): (1, 1.4, 1.1, 0.6),
    ("base", "ntu120/xsub"): (1, 1.5, 0.7, 0.3),
    ("base", "ntu120/xset"): (1, 1.5, 0.7, 0.3),
    ("large", "ntu/xsub"): (1, 1.4, 1, 0.5),
    ("large", "ntu/xview"): (1, 1.4, 1, 0.5),
    ("large", "ntu120/xsub"): (1, 1.5, 0.7, 0.3),
    ("large", "ntu120/xset"): (1, 1.5, 0.6, 0.6),
    ("base", "NW-UCLA"): (0.6, 0.6, 0.4, 0.4),  # the published table lacks it
}


@pytest.mark.parametrize(("model", "dataset"), list(HYPER))
def test_hypergcn_has_a_table_for_four_streams(lab, model, dataset):
    labels = ("--labels", str(lab.folder / "data" / "ntu" / "NTU60_CS.npz"))
    code, out, _ = lab("--model", model, *labels, dataset=dataset, room="Hyper-GCN")
    top1, top5 = published(lab.scores.values(), lab.labels, HYPER[model, dataset])
    assert code == 0 and f"\nTop1 Acc: {top1:.2f}%\nTop5 Acc: {top5:.2f}%\n" in out


@pytest.mark.parametrize(
    ("streams", "flags", "weights"),
    [
        (STREAMS[:2], ("--alpha", "0.5"), (1, 0.5)),
        (STREAMS[:3], (), (0.6, 0.6, 0.4)),
        (STREAMS, (), HYPER["base", "ntu/xsub"]),
    ],
)
def test_hypergcn_on_base_with_fewer_streams(lab, streams, flags, weights):
    out = lab(*flags, streams=streams, room="Hyper-GCN")[1]
    top1, top5 = published([lab.scores[stream] for stream in streams], lab.labels, weights)
    assert f"\nTop1 Acc: {top1:.2f}%\nTop5 Acc: {top5:.2f}%\n" in out


def test_skateformer_takes_the_weights_of_ctrgcn(lab):
    assert lab(room="SkateFormer") == lab(room="CTR-GCN")


@pytest.mark.parametrize(
    ("room", "dataset", "file", "score_file"),
    [
        ("MS-G3D", "ntu/xsub", "data/ntu/xsub/val_label.pkl", "epoch1_test_score.pkl"),
        ("MS-G3D", "ntu120/xset", "data/ntu120/xset/val_label.pkl", "epoch1_test_score.pkl"),
        ("MS-G3D", "kinetics", "data/kinetics/val_label.pkl", "epoch1_test_score.pkl"),
        ("ST-GCN", "ntu-xview", "data/NTU-RGB-D/xview/val_label.pkl", "test_result.pkl"),
        ("ST-GCN", "kinetics-skeleton", "data/Kinetics/kinetics-skeleton/val_label.pkl", "test_result.pkl"),
    ],
)
def test_rooms_with_label_pickles(lab, room, dataset, file, score_file):
    for stream in STREAMS[:2]:
        (lab.folder / stream / "epoch1_test_score.pkl").rename(lab.folder / stream / score_file)
    (lab.folder / file).parent.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(3).permutation(N)
    names = [f"test_{i}" for i in order]
    (lab.folder / file).write_bytes(pickle.dumps((names, lab.labels[order].tolist()), protocol=2))
    code, out, _ = lab("--alpha", "0.7", dataset=dataset, room=room, streams=STREAMS[:2])
    top1, top5 = published([lab.scores[stream] for stream in STREAMS[:2]], lab.labels, (1, 0.7))
    assert code == 0 and file in out.splitlines()[0]
    assert f"\nTop1 Acc: {top1:.4f}%\nTop5 Acc: {top5:.4f}%\n" in out


def test_msg3d_has_two_streams():
    assert recipe("MS-G3D").streams == ("joint", "bone")
    assert list(recipe("MS-G3D").labels) == ["kinetics", "ntu/xsub", "ntu/xview", "ntu120/xsub", "ntu120/xset"]


@pytest.mark.parametrize("flags", ["--alpha nan", "--weights nan 1 1 1", "--weights 0 0 0 0", "--weights 1e308 1 1 1"])
def test_weights_that_say_nothing_are_refused(lab, flags):
    code, out, err = lab(*flags.split())
    assert code == 2 and flags.split()[0] in err and "Top1" not in out


def test_alpha_without_effect_is_said(lab):
    assert "notice: --alpha has no effect" in lab("--alpha", "2")[1]
    assert lab("--alpha", "2")[1].splitlines()[1:] == lab()[1].splitlines()


def inter(folder):
    """Scores of a part of the archive's samples, as of SkateFormer's two-person classes."""
    np.savez(folder / "data/ntu/NTU60_CS.npz", y_test=np.arange(3))
    np.savez(folder / "joint" / "evaluation.npz", labels=np.zeros(N, dtype=np.int64))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("/tmp/skeleton-lab-evil",)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: (d / "bone" / "epoch1_test_score.pkl").unlink(), ["bone", "epoch1_test_score.pkl"]),
        (lambda d: write(d / "bone", [1, 2]), ["bone", "dict"]),
        (lambda d: write(d / "bone", {"a": np.zeros(3), "b": np.zeros(4)}), ["bone", "equally long"]),
        (lambda d: write(d / "bone", {"a": np.full(3, np.nan)}), ["bone", "finite"]),
        (lambda d: write(d / "bone", {"a": np.full(3, 1e300)}), ["bone", "finite"]),
        (lambda d: write(d / "bone", {"a": np.full(3, 1j)}), ["bone", "numbers"]),
        (lambda d: np.savez(d / "data/ntu/NTU60_CS.npz", y_test=np.full(N, 0.5, np.float16)), ["whole numbers"]),
        (lambda d: write(d / "bone", {"a": np.zeros(K)}), ["bone", "(1, 10)", "one test set"]),
        (lambda d: write(d / "bone", {"a": Evil()}), ["bone", "mkdir"]),
        (lambda d: (d / "bone" / "epoch1_test_score.pkl").write_bytes(b"\x80\x04"), ["bone"]),
        (lambda d: (d / "data/ntu/NTU60_CS.npz").write_bytes(b"PK\x03\x04"), ["NTU60_CS.npz"]),
        (lambda d: np.savez(d / "data/ntu/NTU60_CS.npz", y_test=np.arange(3)), ["3 test labels", "60 samples"]),
        (inter, ["3 test labels", "60 samples", "--labels", "evaluation.npz"]),
        (lambda d: np.savez(d / "data/ntu/NTU60_CS.npz", y_test=np.full(N, 44)), ["44", "10 classes"]),
        (lambda d: np.savez(d / "data/ntu/NTU60_CS.npz", y=np.arange(3)), ["y_test"]),
    ],
)
def test_bad_files_are_one_line(lab, damage, words):
    damage(lab.folder)
    code, _, err = lab()
    assert code == 2
    assert err.startswith("error: ") and len(err.splitlines()) == 1
    assert all(word in err for word in words), err
    assert not Path("/tmp/skeleton-lab-evil").exists()


def test_bad_flags_are_one_line(lab):
    for flags, streams, word in (
        ((), ("joint",), "two streams"),
        (("--weights", "1"), STREAMS, "--weights"),
        (("--labels", "/nowhere.npz"), STREAMS, "/nowhere.npz"),
        (("--json", "/nowhere/x.json"), STREAMS, "/nowhere/x.json"),
    ):
        code, _, err = lab(*flags, streams=streams)
        assert code == 2 and word in err and len(err.splitlines()) == 1


def test_the_program_itself(lab):
    command = [sys.executable, "ensemble.py", "--dataset", "ntu/xsub", "--joint-dir", "joint", "--bone-dir", "bone"]
    done = subprocess.run(command, cwd=lab.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Top1 Acc: " in done.stdout


def test_a_layout_without_an_archive_is_refused(lab):
    path = lab.folder / "joint" / "evaluation.npz"
    np.savez(path, labels=lab.labels)
    code, _, err = lab("--labels", str(path), "--layout", "pyskl:1")
    assert code == 2 and "--layout pyskl:1 is for archives" in err and err.count("\n") == 1
