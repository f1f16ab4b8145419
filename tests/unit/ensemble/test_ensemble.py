"""Ensembles against a plain loop, as the published script computes them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pickle
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from places import ROOT

from skeleton_lab.ensemble.fusion import search
from skeleton_lab.ensemble.program import FITTED, Recipe, accuracy, combine, fit, main, read_labels

N, K = 60, 10
STREAMS = ("joint", "bone", "joint-motion", "bone-motion")


@pytest.fixture
def lab(tmp_path, capsys):
    """A room's folder with four streams' scores and the labels; call it with flags: (exit code, stdout, stderr)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, N)
    (tmp_path / "data" / "ntu").mkdir(parents=True)
    np.savez(tmp_path / "data" / "ntu" / "NTU60_CS.npz", y_test=np.eye(K)[labels])
    shutil.copy(ROOT / "CTR-GCN" / "ensemble.py", tmp_path)
    scores = {}
    for stream in STREAMS:
        logits = rng.normal(size=(N, K)) + 1.2 * np.eye(K)[labels]
        scores[stream] = {f"test_{i}": row.astype(np.float32) for i, row in enumerate(logits)}
        (tmp_path / stream).mkdir()
        write(tmp_path / stream, scores[stream])

    def run(*flags, dataset="ntu/xsub", streams=STREAMS, room="CTR-GCN"):
        if not isinstance(streams, dict):
            streams = {stream: stream for stream in streams}
        folders = [word for flag, name in streams.items() for word in (f"--{flag}-dir", str(tmp_path / name))]
        code = main(recipe(room), str(tmp_path / "ensemble.py"), ["--dataset", dataset, *folders, *flags])
        return code, *capsys.readouterr()

    run.folder, run.labels, run.scores = tmp_path, labels, scores
    return run


def recipe(room):
    return runpy.run_path(str(ROOT / room / "ensemble.py"))["RECIPE"]


def write(folder, scores, name="epoch1_test_score.pkl"):
    (folder / name).write_bytes(pickle.dumps(scores))


def published(scores, labels, weights):
    """The loop of the published ensemble.py: percentages of top-1 and top-5."""
    right = right5 = 0
    rows = [list(stream.items()) for stream in scores]
    for i, label in enumerate(labels):
        r = sum(stream[i][1] * weight for stream, weight in zip(rows, weights))
        right5 += int(int(label) in r.argsort()[-5:])
        right += int(np.argmax(r) == int(label))
    return 100 * right / len(labels), 100 * right5 / len(labels)


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


def test_samples_are_matched_by_name(lab):
    expected = lab()[1]
    write(lab.folder / "bone", dict(reversed(lab.scores["bone"].items())))
    assert lab()[1] == expected


def clip(i):
    return f"S{i // 10 + 1:03}C001P003R001A{i % 10 + 1:03}"


def rename(lab, stream, name, order=None, evaluation=True):
    """Give the samples of a stream other names and another order, and say so in its evaluation.npz."""
    order = np.arange(N) if order is None else order
    rows = list(lab.scores[stream].values())
    write(lab.folder / stream, {name(int(i)): rows[i] for i in order})
    if evaluation:
        names = np.array([str(name(int(i))) for i in order])
        np.savez(lab.folder / stream / "evaluation.npz", labels=lab.labels[order], names=names)


def test_row_numbers_in_any_spelling_are_the_same_names(lab):
    expected = lab()[1]
    rename(lab, "bone", lambda i: i, evaluation=False)
    assert lab()[1] == expected and "samples in the order of their row numbers" in expected


@pytest.mark.parametrize(
    "spelling",
    [f"{{}}{end}" for end in ("", ".skeleton")] + ["test_{}", "val_{}.json", "/data/ntu/{}.skeleton", "nturgb+d\\{}"],
)
def test_names_of_two_pipelines_are_the_same_samples(lab, spelling):
    """A perfect stream stays perfect whatever the order of its file."""
    for stream in STREAMS[:2]:
        lab.scores[stream] = {key: np.eye(K)[k] for key, k in zip(lab.scores[stream], lab.labels)}
    (lab.folder / "data" / "ntu" / "NTU60_CS.npz").unlink()
    rename(lab, "joint", clip)
    rename(lab, "bone", lambda i: spelling.format(clip(i)), np.random.default_rng(5).permutation(N))
    code, out, err = lab(streams=STREAMS[:2])
    assert code == 0, err
    assert "\nTop1 Acc: 100.0000%" in out and "bone: top-1 100.00%" in out and "notice" not in out


def test_clips_of_one_name_in_two_folders_are_two(lab):
    expected = lab(streams=STREAMS[:2])[1].splitlines()[1:]
    rename(lab, "joint", lambda i: f"class{i % 2}/{i // 2}", evaluation=False)
    rename(
        lab, "bone", lambda i: f"class{i % 2}/{i // 2}.avi", np.random.default_rng(6).permutation(N), evaluation=False
    )
    assert lab(streams=STREAMS[:2])[1].splitlines()[1:] == expected


def test_unlike_names_need_equal_labels_row_by_row(lab):
    expected = lab(streams=STREAMS[:2])[1].splitlines()
    rename(lab, "bone", clip)
    code, _, err = lab(streams=STREAMS[:2])
    assert code == 2 and "evaluation.npz" in err and str(lab.folder / "joint") in err and len(err.splitlines()) == 1
    rename(lab, "joint", lambda i: f"test_{i}")
    code, out, _ = lab(streams=STREAMS[:2])
    notice, *rest = out.splitlines()
    assert notice.startswith("notice: ") and "matched by position, since the labels" in notice and rest == expected
    rename(lab, "bone", clip, np.roll(np.arange(N), 1))
    code, out, err = lab(streams=STREAMS[:2])
    assert (code, out) == (2, "") and "is class" in err and len(err.splitlines()) == 1


def test_row_numbers_of_two_orders_are_refused(lab):
    rename(lab, "joint", lambda i: f"test_{i}")
    order = np.random.default_rng(7).permutation(N)
    rows = list(lab.scores["bone"].values())
    write(lab.folder / "bone", {f"test_{k}": rows[i] for k, i in enumerate(order)})
    np.savez(lab.folder / "bone" / "evaluation.npz", labels=lab.labels[order])
    code, out, err = lab(streams=STREAMS[:2])
    assert (code, out) == (2, "") and "of 60 differ" in err


def test_a_single_other_name_is_an_error(lab):
    rename(lab, "joint", clip)
    rename(lab, "bone", lambda i: clip(i) if i != 3 else "S099C001P001R001A001")
    code, _, err = lab(streams=STREAMS[:2])
    assert code == 2 and "share 59 of 60" in err and repr(clip(3)) in err


def test_labels_come_by_name_or_row_and_are_those_of_the_run(lab):
    order = np.random.default_rng(8).permutation(N)
    archive, stream = lab.folder / "data/ntu/NTU60_CS.npz", STREAMS[:2]
    expected = lab(streams=stream)[1].splitlines()[1:]
    for name in stream:
        rename(lab, name, clip)
    names = np.array([f"{clip(int(i))}.skeleton" for i in order])
    np.savez(archive, y_test=lab.labels[order], name_test=names)
    assert lab(streams=stream)[1].splitlines()[1:] == expected
    np.savez(archive, y_test=lab.labels[order])  # no names: by row, which the run's own labels contradict
    code, _, err = lab(streams=stream)
    assert code == 2 and "NTU60_CS.npz: row" in err and "evaluation.npz" in err
    (lab.folder / "joint" / "evaluation.npz").unlink()
    np.savez(archive, y_test=lab.labels, name_test=np.array([f"other{i}" for i in range(N)]))
    code, _, err = lab(streams=stream)
    assert code == 2 and "names its samples unlike the scores" in err


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


def test_labels_from_the_run_itself(lab):
    expected = lab()[1].splitlines()[1:]
    (lab.folder / "data" / "ntu" / "NTU60_CS.npz").unlink()
    order = np.random.default_rng(2).permutation(N)
    names = np.array([f"test_{i}" for i in order])
    np.savez(lab.folder / "joint" / "evaluation.npz", labels=lab.labels[order], names=names)
    code, out, _ = lab()
    assert code == 0 and out.splitlines()[1:] == expected
    assert "evaluation.npz" in out.splitlines()[0]


def test_labels_of_nw_ucla(lab):
    expected = lab()[1].splitlines()[1:]
    (lab.folder / "data" / "NW-UCLA").mkdir()
    clips = [{"file_name": f"a{i}", "length": 9, "label": int(label) + 1} for i, label in enumerate(lab.labels)]
    (lab.folder / "data" / "NW-UCLA" / "val_label.pkl").write_bytes(pickle.dumps(clips))
    assert lab(dataset="NW-UCLA")[1].splitlines()[1:] == expected


def test_labels_of_a_pair_pickle(tmp_path):
    path = tmp_path / "val_label.pkl"
    path.write_bytes(pickle.dumps((["b", "a"], [1, 0]), protocol=2))
    assert read_labels(path, ["a", "b"]).tolist() == [0, 1]
    assert read_labels(path, ["test_0", "test_1"]).tolist() == [1, 0]


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


# ------------------------------------------------------------------------------ FreqMixFormer: six streams, searched

SIX = {
    "joint": "joint", "bone": "bone", "joint-motion": "joint-motion", "bone-motion": "bone-motion",
    "joint-k2": "k2", "joint-motion-k2": "motion-k2",
}  # fmt: skip


@pytest.fixture
def six(lab, monkeypatch):
    """The lab with two more streams, and a search short enough for a test."""
    pytest.importorskip("skopt")
    monkeypatch.setattr("skeleton_lab.ensemble.fusion.EVALUATIONS", 14)
    rng = np.random.default_rng(4)
    for name in ("k2", "motion-k2"):
        logits = rng.normal(size=(N, K)) + np.eye(K)[lab.labels]
        lab.scores[name] = {f"test_{i}": row.astype(np.float32) for i, row in enumerate(logits)}
        (lab.folder / name).mkdir()
        write(lab.folder / name, lab.scores[name])
    return lab


def test_the_search_prints_the_published_lines(six):
    code, out, _ = six("--json", str(six.folder / "result.json"), streams=SIX, room="FreqMixFormer")
    assert code == 0
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{FITTED}: the search"))
    tried = [float(line) for line in lines[start + 1 : start + 15]]
    weights = json.loads(re.fullmatch(r"Optimal weights: (\[.*\])", lines[start + 16])[1])
    top1, top5 = published([six.scores[name] for name in SIX.values()], six.labels, weights)
    assert lines[start + 15] == f"Maximum accuracy: {top1:.4f}%"
    assert len(weights) == 6 and all(0.2 <= weight <= 1.2 for weight in weights)
    assert 100 * max(tried) == pytest.approx(top1)
    assert lines[-1] == f"{FITTED}: top-1 {top1:.2f}%, top-5 {top5:.2f}%"
    # Before it, and apart: the plain sum, fitted to nothing.
    equal1, equal5 = published([six.scores[name] for name in SIX.values()], six.labels, [1] * 6)
    assert lines[start - 2 : start] == [f"Top1 Acc: {equal1:.4f}%", f"Top5 Acc: {equal5:.4f}%"]
    result = json.loads((six.folder / "result.json").read_text())
    assert result["ensemble"]["top1"] == pytest.approx(equal1 / 100)
    assert result["fitted"]["note"] == FITTED and list(result["fitted"]["weights"].values()) == weights


def test_the_search_is_the_published_one(six, monkeypatch):
    """Same bounds, number of evaluations and seed as in the published call, and two runs give one answer."""
    import skopt

    calls = []
    minimize = skopt.gp_minimize

    def noted(function, space, **settings):
        calls.append((space, settings))
        return minimize(function, space, **settings)

    monkeypatch.setattr(skopt, "gp_minimize", noted)
    first = six(streams=SIX, room="FreqMixFormer")
    assert calls == [([(0.2, 1.2)] * 6, {"n_calls": 14, "random_state": 0})]
    assert six(streams=SIX, room="FreqMixFormer") == first
    monkeypatch.undo()
    from skeleton_lab.ensemble import fusion

    assert fusion.EVALUATIONS == 200


def test_the_search_is_tested_with_the_pinned_versions():
    """Equal weights for equal seeds hold within one set of versions; these tests are to run with that set."""
    pytest.importorskip("skopt")
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    wanted = [Requirement(line) for line in lines if line.startswith(("scikit-optimize", "scikit-learn"))]
    assert {each.name for each in wanted} == {"scikit-optimize", "scikit-learn"}
    assert all(str(each.specifier).startswith("==") for each in wanted)
    pins = {e.name: str(e.specifier)[2:] for e in wanted if e.marker is None or e.marker.evaluate()}
    installed = {name: importlib.metadata.version(name) for name in pins}
    if installed != pins:
        pytest.skip(f"not the pinned versions: {installed}")
    scores = np.random.default_rng(0).normal(size=(2, 40, K)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skeleton_lab.ensemble.fusion.EVALUATIONS", 12)
        tried = [[], []]
        assert len({tuple(search(scores, np.arange(40) % K, run.append)) for run in tried}) == 1
    assert tried[0] == tried[1] and len(tried[0]) == 12


def test_the_search_takes_two_streams_as_well(six):
    code, out, _ = six(streams=("joint", "bone"), room="FreqMixFormer")
    assert code == 0 and "Maximum accuracy: " in out


@pytest.mark.parametrize("flags", [("--weights", *"123456"), ("--fit",)])
def test_without_scikit_optimize(six, monkeypatch, flags):
    monkeypatch.setitem(sys.modules, "skopt", None)
    code, out, err = six(streams=SIX, room="FreqMixFormer")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "scikit-optimize" in err and "skeleton-lab[search]" in err and all(flag in err for flag in flags[:1])
    code, out, _ = six(*flags, streams=SIX, room="FreqMixFormer")
    weights = range(1, 7) if len(flags) > 1 else [1] * 6
    top1, _ = published([six.scores[name] for name in SIX.values()], six.labels, weights)
    assert code == 0 and f"Top1 Acc: {top1:.4f}%" in out and "Maximum" not in out
    assert (FITTED in out) == (flags == ("--fit",))


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
