"""What zero-shot figures rest on: baselines beside them, the cycle they are of, their spread over seeds."""

from __future__ import annotations

import json
import shutil
import statistics
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from zero_shot_folder import LE, copied, flags, gate_flags, one_error, place, stages, write

from skeleton_lab.data.archives import class_splits
from skeleton_lab.errors import LabError
from skeleton_lab.zero_shot import published_script, synthetic
from skeleton_lab.zero_shot.align import baselines
from skeleton_lab.zero_shot.align import program as programs
from skeleton_lab.zero_shot.align.trainer import Trainer
from skeleton_lab.zero_shot.features import feature_folder, ownership
from skeleton_lab.zero_shot.gate import program as gating
from skeleton_lab.zero_shot.report import page as report

SPLIT = class_splits.load("r", 5, 60)
SEEDS = ["--seeds", "5", "6"]


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("zero_shot"))


def told(folder: Path, name: str = "train.json") -> dict:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def seeded(given, tmp_path_factory) -> Path:
    """The work folder of two seeds, whose last cycle was saved."""
    work = tmp_path_factory.mktemp("seeds")
    stages(given, work, "--select", "last", seeds=tuple(SEEDS))
    return work


# baselines


def inputs(folder: Path, texts: Path) -> tuple[feature_folder.Features, np.ndarray]:
    return feature_folder.read(folder, "train", SPLIT), feature_folder.class_table("lb", LE, 60, texts)


def test_conse_is_that_of_its_paper(given):
    """Sequence by sequence, from the definition."""
    features, table = inputs(place(given), given / "text_feats")
    found = baselines.conse(place(given), features, table, SPLIT)
    logits = np.load(place(given) / "gtest_out.npy").astype(float)
    for row in range(0, len(logits), 7):
        chances = {c: np.exp(logits[row, c] - logits[row, SPLIT.seen].max()) for c in SPLIT.seen}
        top = sorted(chances, key=chances.get, reverse=True)[:10]
        mixed = sum(chances[c] * table[c].astype(float) for c in top) / sum(chances[c] for c in top)
        cosine = {c: mixed @ table[c] / np.linalg.norm(table[c]) for c in SPLIT.unseen}
        assert found.gtest[row] == max(cosine, key=cosine.get)
    assert found.made == {"probabilities": {"ztest": "ztest_out.npy", "gtest": "gtest_out.npy"}, "classes": 10}


def test_conse_without_logits(given, tmp_path):
    """Published folders lack ztest_out; folders of features alone have no logits at all."""
    folder = place(copied(given, tmp_path))
    (folder / "ztest_out.npy").unlink()
    features, table = inputs(folder, given / "text_feats")
    rows = np.isin(features.second.labels, SPLIT.unseen)
    np.save(folder / "ztest.npy", features.second.features[rows])
    np.save(folder / "z_label.npy", features.second.labels[rows])
    features, _ = inputs(folder, given / "text_feats")
    found = baselines.conse(folder, features, table, SPLIT)
    assert found.made["probabilities"] == {"gtest": "gtest_out.npy", "ztest": "gtest_out.npy"}
    np.testing.assert_array_equal(found.ztest, found.gtest[rows])

    (folder / "gtest_out.npy").unlink()
    found = baselines.conse(folder, features, table, SPLIT)
    assert set(found.made["probabilities"].values()) == {baselines.FITTED}
    # it tells the seen classes of its own training sequences apart, and never looked at another
    classifier = baselines._Softmax(features, SPLIT)
    answers = SPLIT.seen[classifier(features.train.features).argmax(1)]
    assert (answers == features.train.labels).mean() > 0.9
    assert np.isin(found.ztest, SPLIT.unseen).all()


def test_ridge_solves_the_normal_equations_and_chooses_without_unseen_classes(given):
    features, table = inputs(place(given), given / "text_feats")
    found = baselines.ridge(features, table, SPLIT)
    x, y = features.train.features.astype(float), features.train.labels
    mean, deviation, centre = x.mean(0), x.std(0), table[SPLIT.seen].astype(float).mean(0)
    x = (x - mean) / deviation
    left = x.T @ x + found.made["penalty"] * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(left, x.T @ (table[y] - centre))
    predicted = (features.ztest.features - mean) / deviation @ weights
    targets = table[SPLIT.unseen].astype(float) - centre
    cosine = predicted @ (targets / np.linalg.norm(targets, axis=1, keepdims=True)).T
    np.testing.assert_array_equal(found.ztest, SPLIT.unseen[cosine.argmax(1)])
    assert found.made["seen_accuracies"][str(found.made["penalty"])] == max(found.made["seen_accuracies"].values())

    strange = table.copy()
    strange[SPLIT.unseen] = table[SPLIT.unseen][::-1]
    opposite = feature_folder.Part(-features.ztest.features, features.ztest.labels)
    other = feature_folder.Features(features.train, opposite,
                             features.second)  # fmt: skip
    assert baselines.ridge(other, strange, SPLIT).made == found.made


@pytest.mark.slow
def test_baselines_are_rows_of_json_and_page(given, tmp_path, capsys):
    folder = stages(given, tmp_path)
    features, table = inputs(place(given), given / "text_feats")
    found = baselines.compute(place(given), features, table, SPLIT)
    with np.load(folder / "gating.npz") as gate:
        gate = dict(gate)
    for name, made in found.items():
        row = told(folder, "gating_eval.json")["baselines"][name]
        accuracy = (made.ztest == features.ztest.labels).mean()
        assert row["zsl_accuracy"] == told(folder)["baselines"][name]["zsl_accuracy"] == pytest.approx(accuracy)
        right = np.where(gate["to_seen"], gate["seen_answer"], made.gtest) == gate["labels"]
        of_seen = np.isin(gate["labels"], SPLIT.seen)
        assert row["unseen_accuracy"] == pytest.approx(right[~of_seen].mean())
        assert row["seen_accuracy"] == told(folder, "gating_eval.json")["seen_accuracy"]
    assert "ConSE behind the same gate" in capsys.readouterr().err
    page = report.write(folder).read_text()
    assert page.index("Beside two baselines") < page.index("Confusion matrix")
    assert f"{100 * told(folder)['baselines']['ridge']['zsl_accuracy']:.2f}" in page

    # Without texts the generalised test is the published one, and says what is missing.
    before = told(folder, "gating_eval.json")
    words = gate_flags(given, tmp_path, "train")
    words[words.index("--text_feats") + 1] = str(tmp_path / "none")
    assert gating.gating_eval(words) == 0
    error = capsys.readouterr().err
    assert "without the baselines ConSE and ridge" in error
    assert told(folder, "gating_eval.json") == before | {"baselines": {}}


# the cycle that is saved


def first_is_best(monkeypatch) -> None:
    """Accuracy on the test falls from cycle to cycle, so the best is not the last."""
    import dataclasses

    real = Trainer.score
    monkeypatch.setattr(
        Trainer, "score",
        lambda self, net: dataclasses.replace(real(self, net), accuracy=0.9 - 0.1 * len(self.history)),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("select", "cycle", "on"), [("best", 0, "ztest"), ("last", 1, "nothing")])
def test_the_selected_cycle_is_saved_and_named(select, cycle, on, given, tmp_path, monkeypatch):
    first_is_best(monkeypatch)
    folder = stages(given, tmp_path, "--select", select)
    run = told(folder)
    assert (run["selected_cycle"], run["selected_on"], run["best_cycle"], run["last_cycle"]) == (cycle, on, 0, 1)
    assert run["zsl_accuracy"] == run["cycles"][cycle]["zsl_accuracy"]
    assert torch.load(folder / "classifier.pth.tar", weights_only=True)["epoch"] == 30 * (cycle + 1)
    gated = told(folder, "gating_eval.json")
    assert (gated["select"], gated["selected_cycle"], gated["selected_on"]) == (select, cycle, on)
    page = report.write(folder).read_text()
    words = {"best": "chosen on the test classes themselves", "last": "the last cycle, chosen by nothing"}
    assert page.count(words[select]) == 4  # unseen alone, and the three tiles behind the gate
    assert f"test on all classes; cycle {cycle}" in page


@pytest.mark.slow
def test_select_val_takes_the_cycle_of_the_validation_classes(given, tmp_path, monkeypatch, capsys):
    sizes = {"num_cycles": 3, "select": "val"}
    assert programs.train("msf", flags(given, tmp_path, **sizes)) == 2
    assert "--phase val --select val first" in one_error(capsys)
    first_is_best(monkeypatch)
    assert programs.train("msf", flags(given, tmp_path, "val", **sizes)) == 0
    monkeypatch.undo()
    assert programs.train("msf", flags(given, tmp_path, **sizes)) == 0
    run = told(tmp_path / "5_r" / LE / "lb")
    assert (run["selected_cycle"], run["selected_on"], run["last_cycle"]) == (0, "validation", 2)
    assert programs.train("msf", flags(given, tmp_path, **sizes | {"num_epoch_per_cycle": 20})) == 2
    assert "num_epoch_per_cycle 30" in one_error(capsys)


@pytest.mark.slow
def test_resuming_with_another_selection_is_refused(given, tmp_path, capsys):
    assert programs.train("msf", flags(given, tmp_path)) == 0
    assert programs.train("msf", flags(given, tmp_path, num_cycles=3, select="last", resume=True)) == 2
    assert "select best" in one_error(capsys)


@pytest.mark.slow
def test_resuming_with_other_test_sequences_is_refused(given, tmp_path, capsys):
    """Training does not see them, the scores that it saves are theirs."""
    folder = copied(given, tmp_path / "given")
    assert programs.train("msf", flags(folder, tmp_path, num_cycles=1)) == 0
    np.save(place(folder) / "gtest.npy", np.load(place(folder) / "gtest.npy")[::-1])
    assert programs.train("msf", flags(folder, tmp_path, resume=True)) == 2
    assert "made with sequences" in one_error(capsys)


@pytest.mark.slow
def test_classifier_of_another_cycle_is_refused(given, tmp_path, monkeypatch, capsys):
    first_is_best(monkeypatch)
    assert programs.train("msf", flags(given, tmp_path)) == 0
    words = flags(given, tmp_path, mode="eval", load_epoch=59, load_classifier=True)
    assert programs.train("msf", words) == 2
    error = one_error(capsys)
    assert "trained on the networks of epoch 29, not 59" in error and "--load_epoch 29" in error
    # files of before, and of published programs, do not tell; train.json beside them does, or nobody
    path = tmp_path / "5_r" / LE / "lb" / "classifier.pth.tar"
    torch.save({"state_dict": torch.load(path, weights_only=True)["state_dict"]}, path)
    assert programs.train("msf", words) == 2
    assert "epoch 29, not 59" in one_error(capsys)
    path.with_name("train.json").unlink()
    assert programs.train("msf", words) == 0
    assert "does not tell behind which epoch" in capsys.readouterr().err


@pytest.mark.slow
def test_scores_are_joined_with_their_own_sequences_only(given, tmp_path, capsys):
    """As many rows as before, of other sequences."""
    folder = copied(given, tmp_path / "given")
    stages(folder, tmp_path)
    labels = np.load(place(folder) / "g_label.npy")
    for name in ("gtest", "gtest_out", "g_label"):
        np.save(place(folder) / f"{name}.npy", np.load(place(folder) / f"{name}.npy")[::-1])
    assert not np.array_equal(labels, labels[::-1])
    assert gating.gating_eval(gate_flags(folder, tmp_path, "train")) == 2
    assert "gtest.npy: the scores in" in one_error(capsys)


# seeds


@pytest.mark.slow
def test_every_seed_is_a_run_of_its_own(given, seeded, tmp_path):
    assert programs.train("msf", [*flags(given, tmp_path, seed=6), "--select", "last"]) == 0
    one, other = (json.loads((w / LE / "lb" / "train.json").read_text())
                  for w in (tmp_path / "5_r", seeded / "5_r" / "seed_6"))  # fmt: skip
    assert [c["loss"] for c in one["cycles"]] == [c["loss"] for c in other["cycles"]]
    assert one["zsl_accuracy"] == other["zsl_accuracy"]
    assert (seeded / "5_r" / "seed_5" / LE / "lb" / "gating_model.pkl").is_file()


def test_summary_is_mean_and_deviation(seeded):
    folder = seeded / "5_r" / LE / "lb"
    summary = told(folder, "seeds.json")
    runs = [seeded / "5_r" / f"seed_{seed}" / LE / "lb" for seed in (5, 6)]
    for key in ("zsl_accuracy", "last_zsl_accuracy", "seen_accuracy", "unseen_accuracy", "h_mean"):
        name = "train.json" if "zsl" in key else "gating_eval.json"
        values = [told(run, name)[key] for run in runs]
        assert summary["mean"][key] == pytest.approx(statistics.mean(values))
        assert summary["sd"][key] == pytest.approx(statistics.stdev(values))
        assert [summary["runs"][seed][key] for seed in ("5", "6")] == values
    assert summary["seeds"] == [5, 6] and (summary["select"], summary["selected_on"]) == ("last", "nothing")
    assert summary["baselines"]["ridge"]["sd"]["zsl_accuracy"] == 0


@pytest.mark.slow
def test_page_of_seeds(seeded):
    folder = seeded / "5_r" / LE / "lb"
    page, summary = report.write(folder), told(folder, "seeds.json")
    text = page.read_text()
    mean, deviation = summary["mean"]["zsl_accuracy"], summary["sd"]["zsl_accuracy"]
    assert page.name == "zero_shot.html" and f"{100 * mean:.1f} ± {100 * deviation:.1f} %" in text
    assert "ConSE" in text and "Ridge regression" in text and "chosen by nothing" in text
    for seed in (5, 6):
        link = f"../../../seed_{seed}/{LE}/lb/zero_shot.html"
        assert f'href="{link}"' in text and (folder / link).is_file()


@pytest.mark.slow
def test_seeds_on_the_terminal_and_a_run_before(given, tmp_path, capsys):
    """A run of one seed makes way; the table ends what is printed."""
    assert programs.train("msf", flags(given, tmp_path, num_cycles=1)) == 0
    assert programs.train("msf", [*flags(given, tmp_path, num_cycles=1), "--seeds", "5"]) == 0
    printed = capsys.readouterr()
    folder = tmp_path / "5_r" / LE / "lb"
    assert (folder / "previous" / "1" / "train.json").is_file() and not (folder / "train.json").exists()
    assert "previous/1" in printed.err
    lines = printed.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("mean of 1"))
    assert f"{100 * told(folder, 'seeds.json')['mean']['zsl_accuracy']:.1f}" in lines[at]
    assert "±" not in lines[at] and lines[at + 1].startswith("ConSE")  # one seed has no spread


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "5", "5"], "given twice"), (["--seeds", "-1"], "from 0 on"),
        (["--seeds", "5", "--seed", "6"], "one of the two"),
        (["--seeds", "5", "--mode", "eval", "--load_epoch", "29", "--load_classifier"], "leave one out"),
    ],
)  # fmt: skip
def test_seeds_that_cannot_be(words, said, given, tmp_path, capsys):
    assert programs.train("msf", [*flags(given, tmp_path), *words]) == 2
    assert said in one_error(capsys) and not (tmp_path / "5_r").exists()


@pytest.mark.slow
def test_spread_of_the_classifier_alone(given, tmp_path, capsys):
    assert programs.train("msf", flags(given, tmp_path)) == 0
    capsys.readouterr()
    words = flags(given, tmp_path, mode="eval", load_epoch=29)
    assert programs.train("msf", [*words, "--seeds", "7", "8", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    values = [float(line.split()[-1]) for line in lines if line.startswith("zsl accuracy  ")]
    mean, deviation = 100 * statistics.mean(values), 100 * statistics.stdev(values)
    assert len(values) == 3 and lines[-1] == f"mean of 3 classifiers  {mean:.2f} ± {deviation:.2f} %"


@pytest.mark.slow
def test_staged_script_with_seeds(given, tmp_path, monkeypatch, capsys):
    """The published scripts' chain, in this process: stage 2 first where it chooses the cycle."""
    monkeypatch.chdir(tmp_path)
    for name in ("sk_feats", "text_feats"):
        shutil.copytree(given / name, tmp_path / name)
    called = []

    def call(words):
        called.append(words[1] + (f" {words[words.index('--phase') + 1]}" if "--phase" in words else ""))
        run = {
            "train.py": lambda argv: programs.train("msf", argv), "gating_train.py": gating.gating_train,
            "gating_eval.py": gating.gating_eval, "log.py": programs.log, "gen_text_feat.py": lambda argv: 0,
        }[words[1]]  # fmt: skip
        return types.SimpleNamespace(returncode=run(words[2:]))

    monkeypatch.setattr(published_script.subprocess, "run", call)
    argv = ["--ntu", "60", "--ss", "5", "--tm", "lb", "--num_epoch_per_cycle", "20", "--num_cycles", "2", "--gpu",
            "cpu", "--latent_size", "8", "--select", "val", *SEEDS]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["staged", *argv])
    assert published_script.main() == 0
    assert called[1:5] == ["train.py val", "train.py train", "gating_train.py val", "gating_eval.py train"]
    summary = told(tmp_path / "results" / "5_r" / LE / "lb", "seeds.json")
    mean, deviation = (100 * summary[key]["h_mean"] for key in ("mean", "sd"))
    out = capsys.readouterr().out
    assert f"H_Mean: {mean:.2f} ± {deviation:.2f}\n" in out
    assert f"Report: results/5_r/{LE}/lb/zero_shot.html" in out
    assert f"{mean:.2f} ± {deviation:.2f}" in next((tmp_path / "log").iterdir()).read_text()


def test_second_run_in_a_folder_in_use_is_refused(given, tmp_path, capsys):
    """The first goes on; nothing of it is moved or replaced."""
    folder = tmp_path / "5_r" / LE / "lb"
    with ownership.writing(folder):
        (folder / "resume.pth.tar").write_bytes(b"of the first")
        assert programs.train("msf", flags(given, tmp_path)) == 2
    assert "another run is at work in" in one_error(capsys)
    assert [path.name for path in folder.iterdir()] == ["resume.pth.tar"]


def test_full_disk_is_one_line(given, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skeleton_lab.zero_shot.align.checkpoint.save_networks", full)
    assert programs.train("msf", flags(given, tmp_path)) == 2
    assert "No space left on device" in one_error(capsys)


def test_summary_that_names_another_place_is_refused(seeded, tmp_path):
    """A folder of results can come from anywhere."""
    folder = tmp_path / "a" / LE / "lb"
    folder.mkdir(parents=True)
    summary = told(seeded / "5_r" / LE / "lb", "seeds.json") | {"tm": "../../lb"}
    (folder / "seeds.json").write_text(json.dumps(summary))
    with pytest.raises(LabError, match="is not a summary of these programs"):
        report.write(folder)


# the writer of the benchmark's features, and the picture


def test_features_of_the_benchmark_replace_no_others(given, tmp_path, capsys):
    """They have the names of the published ones."""
    folder = place(copied(given, tmp_path))
    np.save(folder / "train.npy", np.ones((3, 4), np.float32))
    published = (folder / "train.npy").read_bytes()
    recipe = synthetic.Recipe(width=24, train_rows=6, ztest_rows=6, second_rows=6)
    for _ in range(2):
        synthetic.write(tmp_path, tmp_path / "text_feats", 60, 5, LE, "lb", recipe=recipe)
    assert (folder / "previous" / "1" / "train.npy").read_bytes() == published
    assert not (folder / "previous" / "2").exists()
    assert "previous/1" in capsys.readouterr().err


@pytest.mark.slow
def test_dots_can_be_seen_and_those_left_out_are_counted(given, seeded):
    text = report.write(seeded / "5_r" / "seed_5" / LE / "lb").read_text()
    radii = {float(part.split('"')[1]) for part in text.split("<circle")[1:] for part in [part[part.index(" r=") :]]}
    assert min(radii) >= 5  # of 900 across
    assert "Drawn are" not in text
    from skeleton_lab.zero_shot.report import figures

    figures.PER_CLASS, kept = 4, figures.PER_CLASS
    try:
        text = report.write(seeded / "5_r" / "seed_5" / LE / "lb").read_text()
    finally:
        figures.PER_CLASS = kept
    assert "Drawn are 20 of the 30, at most 4 of a class." in text
