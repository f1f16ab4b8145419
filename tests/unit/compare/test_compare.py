"""``skeleton-lab compare``: its figures against independent ones, which runs and clips it takes, what it says."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import combinations
from pathlib import Path

import many_runs
import numpy as np
import pytest
import yaml
from many_runs import answers
from scipy import stats

from skeleton_lab import cli
from skeleton_lab.compare import finding, pictures
from skeleton_lab.compare.comparison import Comparison, compare
from skeleton_lab.compare.pairs import ClassDifference


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return many_runs.make(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def own(runs, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(runs, tmp_path / "own"))


@pytest.fixture(scope="module")
def found(runs) -> Comparison:
    return compare(finding.find([f"{runs}/*"])[0], show=False)


def program(monkeypatch, *words: object) -> int:
    monkeypatch.setattr(pictures, "draw", lambda *_: None)  # they take their time
    return cli.main(["compare", *map(str, words)])


def holm(p: list[float]) -> list[float]:
    """By the definition: p is rejected at a level while p(k) <= level / (m - k + 1), the smallest such level."""
    ranked = sorted(p)
    smallest = [max(min(1, (len(p) - k) * ranked[k]) for k in range(place + 1)) for place in range(len(p))]
    return [smallest[ranked.index(each)] for each in p]


def test_figures_of_every_run(runs, tmp_path, monkeypatch, capsys):
    assert program(monkeypatch, f"{runs}/*", "--output", tmp_path) == 0
    with open(tmp_path / "comparison.csv") as file:
        lines = {line["run"]: line for line in csv.DictReader(file)}
    assert len(lines) == 4
    for name, line in lines.items():
        _, labels, said = answers(runs / name)
        right = int((labels == said).sum())
        assert (int(line["right"]), int(line["clips"])) == (right, 240)
        interval = stats.binomtest(right, 240).proportion_ci(method="wilson")
        assert (float(line["low"]), float(line["high"])) == pytest.approx((interval.low, interval.high))
        assert float(line["last_top1"]) == pytest.approx(right / 240), "the last epoch is the best of these"
        classes = [said[labels == k] == k for k in range(6)]
        assert float(line["macro_accuracy"]) == pytest.approx(np.mean([each.mean() for each in classes]))
        scores = [2 * each.sum() / (len(each) + (said == k).sum()) for k, each in enumerate(classes)]
        assert float(line["macro_f1"]) == pytest.approx(np.mean(scores))
        assert float(line["seconds"]) == pytest.approx(65 * 69) and line["peak_rss_mb"] == "1500.0"
    told = json.loads((tmp_path / "comparison.json").read_text())
    for group in told["groups"]:
        top1 = [float(lines[name]["top1"]) for name in group["runs"]]
        assert (group["top1"], group["top1_sd"]) == pytest.approx((np.mean(top1), np.std(top1, ddof=1)))
    assert [group["group"] for group in told["groups"]] == ["network1-joint", "network0-joint"], "best first"
    shown = capsys.readouterr().out
    assert f"{100 * told['groups'][0]['top1']:.2f} ± {100 * told['groups'][0]['top1_sd']:.2f}" in shown
    assert str(tmp_path / "comparison.html") in shown


def test_every_two_runs_by_the_binomial_test(runs, found):
    right = {row.name: np.equal(*answers(runs / row.name)[1:]) for row in found.rows}
    expected = []
    for a, b in combinations(right, 2):
        only = int((right[a] & ~right[b]).sum()), int((right[b] & ~right[a]).sum())
        expected.append((a, b, *only, stats.binomtest(only[0], sum(only)).pvalue))
    assert [(p.a, p.b, p.only_a, p.only_b) for p in found.pairs] == [each[:4] for each in expected]
    assert [p.p for p in found.pairs] == pytest.approx([each[4] for each in expected])
    assert [p.adjusted for p in found.pairs] == pytest.approx(holm([each[4] for each in expected]))


def test_two_runs_class_by_class(runs, found):
    a, b = found.chosen
    assert {a.result.group, b.result.group} == {"network0-joint", "network1-joint"}
    (_, labels, mine), (_, _, theirs) = answers(runs / a.name), answers(runs / b.name)
    assert {each.cls for each in found.differences} == set(range(6))
    p = {}
    for each in found.differences:
        there = labels == each.cls
        alone = int(((mine == labels) & (theirs != labels) & there).sum())
        other = int(((theirs == labels) & (mine != labels) & there).sum())
        assert (each.clips, each.only_a, each.only_b) == (there.sum(), alone, other)
        assert each.right_b - each.right_a == other - alone
        p[each.cls] = stats.binomtest(alone, alone + other).pvalue if alone + other else 1.0
        assert each.p == pytest.approx(p[each.cls])
    corrected = dict(zip(p, holm(list(p.values()))))
    assert {each.cls: each.adjusted for each in found.differences} == pytest.approx(corrected)
    changes = [abs(each.change) for each in found.differences]
    assert changes == sorted(changes, reverse=True)


def test_points_are_written_in_table_and_picture_as_in_the_page():
    told = [ClassDifference(0, 20, a, b, 0, 0, 1.0, 1.0).points for a, b in ((3, 4), (4, 3), (2, 2))]
    assert told == ["+5.0", "−5.0", "±0.0"]


def test_parts_that_the_names_tell(runs, found):
    kinds = {part.kind: part for part in found.parts}
    assert set(kinds) == {"subject", "camera", "setup"}
    names, labels, _ = answers(runs / found.rows[0].name)
    said = {row.name: answers(runs / row.name)[2] for row in found.rows}
    for kind, begin, end in (("setup", 1, 4), ("camera", 5, 8), ("subject", 9, 12)):
        part = kinds[kind]
        for place, value in enumerate(part.values):
            there = np.array([int(name[begin:end]) == int(value) for name in names])
            assert part.clips[place] == there.sum()
            for row, right in zip(found.rows, part.right):
                assert right[place] == (said[row.name][there] == labels[there]).sum()
        assert part.clips.sum() == 240


def test_clips_in_another_order_are_the_same_clips(own, found):
    order = np.random.default_rng(5).permutation(240)
    run = own / "network1-joint-seed1"
    names = answers(run)[0][order]
    many_runs.rewrite(run, order)
    many_runs.rewrite(run, names=np.array([f"val_{name}.skeleton" for name in names]))  # as another feeder has them
    again = compare(finding.find([f"{own}/*"])[0], show=False)
    assert [(p.only_a, p.only_b) for p in again.pairs] == [(p.only_a, p.only_b) for p in found.pairs]
    assert again.notices == found.notices == [] and (again.clips.labels == found.clips.labels).all()


def test_other_clips_are_refused_or_the_common_ones_compared(own, tmp_path, monkeypatch, capsys):
    run = own / "network1-joint-seed2"
    first = answers(run)[0][0]
    many_runs.rewrite(run, np.arange(40, 240))
    assert program(monkeypatch, f"{own}/*", "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and "network0-joint-seed1 and " in error[0]
    assert f"200 of 240 and 200 are the same; the first that network1-joint-seed2 lacks is '{first}'" in error[0]
    assert "--common" in error[0] and not (tmp_path / "out").exists()
    assert program(monkeypatch, f"{own}/*", "--output", tmp_path / "out", "--common") == 0
    said = capsys.readouterr().out
    assert "Compared are the 200 clips that all runs were tested on; left out are 40 of network0-joint-seed1, " in said
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    lines = {line["run"]: line for line in told["runs"]}
    _, labels, answer = answers(own / "network0-joint-seed1")
    assert lines["network0-joint-seed1"]["right"] == (labels == answer)[40:].sum() and told["clips"] == 200
    assert lines["network0-joint-seed1"]["last_top1"] is None, "that was of all its clips"
    assert lines["network1-joint-seed2"]["last_top1"] is not None


def test_the_common_clips_are_the_same_whichever_run_comes_first(own):
    many_runs.rewrite(own / "network0-joint-seed1", np.arange(200))
    many_runs.rewrite(own / "network1-joint-seed2", np.arange(40, 240))
    folders = [own / f"network{k}-joint-seed{seed}" for k in (0, 1) for seed in (1, 2)]
    for places in (folders, folders[::-1], folders[1:] + folders[:1]):
        again = compare(finding.find(places)[0], common=True, show=False)
        names, labels, said = answers(own / "network0-joint-seed2")
        (row,) = [row for row in again.rows if row.name == "network0-joint-seed2"]
        assert row.best.right == (labels == said)[40:200].sum() and row.best.total == 160
        assert sorted(again.clips.names) == sorted(names[40:200])
        assert again.notices[-1].startswith("Compared are the 160 clips that all runs were tested on; left out are ")


def test_clips_of_other_classes_or_names_are_refused(own, monkeypatch, capsys):
    run = own / "network1-joint-seed2"
    names, labels, _ = answers(run)
    many_runs.rewrite(run, labels=np.where(np.arange(240) == 7, (labels + 1) % 6, labels))
    assert program(monkeypatch, f"{own}/*", "--common") == 2
    error = capsys.readouterr().err
    assert f"clip 7 ('{names[7]}') is class {labels[7]} in the first and {(labels[7] + 1) % 6} in the second" in error
    many_runs.rewrite(run, labels=labels[::-1], names=np.array([f"clip {k}x" for k in range(240)]))
    assert program(monkeypatch, f"{own}/*", "--common") == 2
    assert "0 of 240 and 240 are the same by name" in capsys.readouterr().err


def test_names_that_count_rows_are_matched_by_position(own):
    many_runs.rewrite(own / "network1-joint-seed2", names=np.array([f"test_{k}" for k in range(240)]))
    again = compare(finding.find([f"{own}/*"])[0], show=False)
    assert len(again.rows) == 4
    assert again.notices == [
        "network1-joint-seed2 names its clips unlike network0-joint-seed1: matched by position, as all classes agree."
    ]
    many_runs.rewrite(own / "network0-joint-seed2", names=np.array([f"test_{k}" for k in range(240)]))
    (notice,) = compare(finding.find([f"{own}/*"])[0], show=False).notices
    assert notice.startswith("network0-joint-seed2, network1-joint-seed2 name their clips unlike network0-joint-seed1:")


def test_runs_that_are_not_finished_are_told_and_not_compared(own):
    (own / "notes").mkdir()
    (own / "network1-joint-seed1" / "evaluation.npz").write_bytes(b"PK, but no more")
    lines = (own / "network1-joint-seed2" / "metrics.jsonl").read_text().splitlines()
    (own / "network1-joint-seed2" / "metrics.jsonl").write_text("\n".join(lines[:20]))
    places, notices = finding.find([f"{own}/*"])
    assert notices == [f"{own}/*: no run is in notes."]
    again = compare(places, show=False)
    assert {each.name for each in again.unfinished} == {"network1-joint-seed1", "network1-joint-seed2"}
    assert len(again.rows) == 2 and "network1-joint-seed1: evaluation.npz cannot be read" in again.notices[0]


def test_the_last_epoch_is_told_only_of_the_clips_that_are_compared(own):
    """A run that tested more clips than its evaluation holds."""
    run = own / "network1-joint-seed1"
    first, *rest = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([json.dumps(json.loads(first) | {"test_samples": 250}), *rest]))
    again = compare(finding.find([f"{own}/*"])[0], show=False)
    assert {row.name: row.last is None for row in again.rows}[run.name]
    assert sum(row.last is None for row in again.rows) == 1


def test_a_run_that_keeps_the_last_epochs_answers(own, monkeypatch, tmp_path):
    """As ST-GCN does: its best accuracy is told, what it said then is not."""
    run = own / "network1-joint-seed1"
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    events[-1]["best"] |= {"epoch": 50, "top1": 0.95}
    (run / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert program(monkeypatch, f"{own}/*", "--output", tmp_path / "out") == 0
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    lines = {line["run"]: line for line in told["runs"]}
    _, labels, said = answers(run)
    mine = lines[run.name]
    assert (mine["top1"], mine["epoch"], mine["answers_epoch"]) == (228 / 240, 50, 65)
    assert mine["answers_right"] == (labels == said).sum() and mine["last_top1"] == pytest.approx(
        (labels == said).mean()
    )
    assert told["notices"][0].startswith("Of their best epoch these runs have kept the accuracy alone: network1-joint")


def study(folder: Path, names: list[str]) -> Path:
    """A sweep's folder with these runs, of which one has left nothing yet."""
    listed = [{"name": name, "room": "CTR-GCN", "stream": "k-bone-motion", "seed": k, "folder": f"runs/{name}"}
              for k, name in enumerate([*names, "waiting-seed9"])]  # fmt: skip
    (folder / "study.json").write_text(json.dumps(listed))
    return folder


def test_the_runs_of_a_study(own, tmp_path, monkeypatch, capsys):
    names = ["a-bone-seed1", "a-bone-seed2", "b-bone-seed1"]
    for old, name in zip(sorted(own.iterdir()), names):
        (tmp_path / "study" / "runs").mkdir(parents=True, exist_ok=True)
        old.rename(tmp_path / "study" / "runs" / name)
    fused = {"name": "a-seed1", "group": "a", "seed": 1, "weights": {"joint": 1.0, "bone": 0.5}, "top1": 0.75,
             "fitted_top1": 0.8, "why": ""}  # fmt: skip
    lacking = {**fused, "name": "b-seed1", "top1": None, "fitted_top1": None, "why": "clips have equal names"}
    more = [fused, {**fused, "seed": 2, "top1": 0.77, "fitted_top1": 0.82}, lacking]
    (tmp_path / "study" / "fusion.json").write_text(json.dumps(more))
    assert program(monkeypatch, study(tmp_path / "study", names)) == 0
    assert "1 of the study's runs have left nothing yet: waiting-seed9" in capsys.readouterr().out
    told = json.loads((tmp_path / "study" / "comparison" / "comparison.json").read_text())
    assert {group["group"]: group["runs"] for group in told["groups"]} == {
        "a-bone": names[:2], "b-bone": names[2:],
    }  # fmt: skip
    assert {line["stream"] for line in told["runs"]} == {"k-bone motion"}, "as a run outside a study says it"
    (fusion,) = told["fusions"]
    assert fusion["fixed"] == pytest.approx([0.76, np.std([0.75, 0.77], ddof=1)]) and fusion["seeds"] == 2
    assert fusion["fitted"][0] == pytest.approx(0.81)
    assert told["notices"][-1] == "b-seed1 was not fused: clips have equal names"
    page = (tmp_path / "study" / "comparison" / "comparison.html").read_text()
    assert "<td>76.00 ± 1.41</td><td>81.00 ± 1.41</td>" in page


def of_archives(folder: Path) -> dict[str, str]:
    """A study of two archives, whose test clips are others, in the folder: name of a run -> its archive's word."""
    runs = []
    for word, clips in (("a", 240), ("b", 200)):
        many_runs.make(folder / word, 2, 1, clips=clips)
        for path in sorted((folder / word).iterdir()):
            name = f"{path.name}-{word}"
            runs.append({"name": name, "folder": f"{word}/{path.name}", "archive": word, "group": f"net-{word}"})
    (folder / "study.json").write_text(json.dumps({"runs": runs}))
    fused = {"seed": 1, "weights": {"joint": 1.0, "bone": 0.5}, "top1": 0.75, "fitted_top1": 0.8, "why": ""}
    fusions = [fused | {"name": f"net-{word}-seed1", "group": f"net-{word}"} for word in "ab"]
    (folder / "fusion.json").write_text(json.dumps(fusions))
    return {run["name"]: run["archive"] for run in runs}


def test_a_study_of_several_archives_has_a_page_for_each(tmp_path, monkeypatch, capsys):
    runs = of_archives(tmp_path)
    assert program(monkeypatch, tmp_path) == 0
    for word in "ab":
        told = json.loads((tmp_path / f"comparison-{word}" / "comparison.json").read_text())
        assert {run["run"] for run in told["runs"]} == {name for name, its in runs.items() if its == word}
        assert [fusion["name"] for fusion in told["fusions"]] == [f"net-{word}"], "fusions of its own runs"
    assert not (tmp_path / "comparison").exists()
    capsys.readouterr()
    (tmp_path / "b" / "network1-joint-seed1" / "evaluation.npz").unlink()
    (tmp_path / "b" / "network0-joint-seed1" / "evaluation.npz").unlink()
    assert program(monkeypatch, tmp_path, "--output", tmp_path / "new") == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("error: b: none of the 2 runs has finished"), error
    assert (tmp_path / "new-a" / "comparison.html").exists(), "the other archive's runs are compared nevertheless"


def test_a_run_that_lacks_epochs_of_its_study_has_not_finished(own, tmp_path, monkeypatch, capsys):
    """More epochs were asked for, and the run failed before its start: what it left is of fewer."""
    names = sorted(path.name for path in own.iterdir())
    epochs = [yaml.safe_load((own / name / "config.yaml").read_text())["num_epoch"] for name in names]
    runs = [{"name": name, "folder": name, "num_epoch": n} for name, n in zip(names, epochs)]
    runs[1]["num_epoch"] += 1
    (own / "study.json").write_text(json.dumps({"runs": runs}))
    assert program(monkeypatch, own, "--output", tmp_path / "page") == 0
    assert f"{names[1]}: not finished, not compared" in capsys.readouterr().out
    told = json.loads((tmp_path / "page" / "comparison.json").read_text())
    assert sorted(run["run"] for run in told["runs"]) == [names[0], *names[2:]]


@pytest.mark.parametrize(
    "content", ["[", '{"runs": 3}', '[{"name": "a"}]', '[{"name": "a", "folder": 3}]', "[" * 10**5]
)
def test_a_damaged_list_of_a_study(tmp_path, monkeypatch, capsys, content):
    (tmp_path / "study.json").write_text(content)
    assert program(monkeypatch, tmp_path) == 2
    assert "study.json is no list of a study's runs" in capsys.readouterr().err


def test_words_that_name_no_run(runs, tmp_path, monkeypatch, capsys):
    for words, said in (
        ([tmp_path / "nowhere"], "there is no such folder, and no folder with a run has a name of that pattern"),
        ([tmp_path], "holds no run: none of metrics.jsonl"),
        ([runs], f"holds no run; 4 folders in it do: give {runs}/*"),
        ([f"{runs}/*", "--pair", "network0-joint-seed1", "network1-joint-seed3"],
         "--pair: no finished run is called 'network1-joint-seed3'. Did you mean"),
        ([f"{runs}/*", "--output", runs / "network0-joint-seed1" / "config.yaml"], "is a file; give a folder"),
        ([f"{runs}/*", "--archive", tmp_path / "none.npz"], "none.npz does not exist"),
    ):  # fmt: skip
        assert program(monkeypatch, *words) == 2
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1 and said in error[0], error


def test_one_run_alone_has_a_table(runs, tmp_path, monkeypatch):
    assert program(monkeypatch, runs / "network0-joint-seed1", "--output", tmp_path) == 0
    told = json.loads((tmp_path / "comparison.json").read_text())
    assert told["pairs"] == [] and told["chosen_pair"] is None and len(told["runs"]) == 1
    assert 'id="pair"' not in (tmp_path / "comparison.html").read_text()


@pytest.mark.slow
def test_pictures(found, tmp_path):
    made = pictures.draw(found, tmp_path)
    assert [path.name for path in made] == ["accuracy.png", "curves.png", "classes.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000 for path in made)


def test_runs_of_other_settings_than_the_studys_are_left_out(own, tmp_path, monkeypatch, capsys):
    names = sorted(path.name for path in own.iterdir())
    runs = [{"name": name, "folder": name, "seed": 1, "state": "finished"} for name in names]
    runs[1]["state"] = "changed"
    (own / "study.json").write_text(json.dumps({"runs": runs}))
    assert program(monkeypatch, own, "--output", tmp_path / "page") == 0
    assert f"1 of the study's runs are of other settings, and left out: {names[1]}." in capsys.readouterr().out
    told = json.loads((tmp_path / "page" / "comparison.json").read_text())
    assert sorted(run["run"] for run in told["runs"]) == [names[0], *names[2:]]


BIG = "1" + "0" * 400  # JSON's whole numbers have no end
LISTS = [f"b{k}: &b{k} [{', '.join([f'*b{k - 1}' if k else 'x'] * 9)}]" for k in range(10)]  # 9 to the 10th entries


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("metrics.jsonl", f'{{"event": "epoch", "epoch": {BIG}, "loss": 1}}'),
        ("metrics.jsonl", f'{{"event": "epoch", "epoch": 66, "loss": {BIG}, "seconds": 1e999}}'),
        ("metrics.jsonl", "[" * 10**5),
        ("metrics.jsonl", '{"event": "result", "best": {"top1": 17, "epoch": 3}, "last": {"top1": -2, "epoch": 9}}'),
        ("metrics.jsonl", "\n".join(f'{{"event": "epoch", "epoch": {k}, "seconds": 1e308}}' for k in (66, 67))),
        ("config.yaml", "1: 2\ntrue: 3"),
        ("config.yaml", "when: 2026-13-45"),
        ("config.yaml", "own: &own [*own]"),
        ("config.yaml", "deep: " + "[" * 3000),
        ("config.yaml", "\n".join(LISTS)),
    ],
    ids=lambda value: value[:40],
)
def test_a_hostile_line_is_left_out(own, tmp_path, monkeypatch, file, line):
    run = own / "network0-joint-seed1"
    right = int(np.equal(*answers(run)[1:]).sum())
    with open(run / file, "a") as opened:
        opened.write(f"{line}\n")
    assert program(monkeypatch, own / "network0-joint-seed*", "--output", tmp_path) == 0
    told = {each["run"]: each for each in json.loads((tmp_path / "comparison.json").read_text())["runs"]}
    assert told[run.name]["answers_right"] == right and 0 <= told[run.name]["top1"] <= 1


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(labels=told["labels"].astype(str)),
        lambda told: told.update(labels=told["labels"] + 0.5),
        lambda told: told.update(logits=told["logits"].astype(str)),  # they have an order, another one
        lambda told: told.update(logits=np.zeros(told["logits"].shape, "V8")),
    ],
    ids=["text", "fractions", "logits of text", "bytes"],
)
def test_answers_that_are_no_numbers_are_left_out(own, tmp_path, monkeypatch, capsys, change):
    run = own / "network0-joint-seed1"
    with np.load(run / "evaluation.npz") as file:
        content = {key: file[key] for key in file.files}
    change(content)
    np.savez(run / "evaluation.npz", **content)
    assert program(monkeypatch, own / "*", "--output", tmp_path) == 0
    assert f"{run.name}: evaluation.npz: of " in capsys.readouterr().out
    told = json.loads((tmp_path / "comparison.json").read_text())
    assert [each["run"] for each in told["unfinished"]] == [run.name]


def test_an_array_in_the_place_of_an_archive_is_left_out(own, tmp_path, monkeypatch, capsys):
    with open(own / "network0-joint-seed1" / "evaluation.npz", "wb") as file:
        np.save(file, np.arange(3))
    assert program(monkeypatch, own / "*", "--output", tmp_path) == 0
    assert "network0-joint-seed1: evaluation.npz cannot be read" in capsys.readouterr().out


def test_equal_names_are_said(own, monkeypatch, capsys):
    run = own / "network1-joint-seed1"
    names, *_ = answers(run)
    many_runs.rewrite(run, names=np.where(np.arange(len(names)) == 1, names[0], names))
    assert program(monkeypatch, own / "*") == 2
    assert "clips of network1-joint-seed1 have equal names" in capsys.readouterr().err
