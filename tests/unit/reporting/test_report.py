"""The report of a run: complete, harmless, self-contained, and still there when half of the work dir is not."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import fake_run as fake
import numpy as np
import pytest
from PIL import Image

from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.reporting import run_report
from skeleton_lab.reporting.html import clip_json, line_chart
from skeleton_lab.reporting.run_report import summary
from skeleton_lab.reporting.run_report.work_dir import load

VOID = {"br", "input", "link", "meta"}
PLOTS = ("curves.png", "confusion.png", "per_class.png", "skeleton.png")


class Page(HTMLParser):
    """A parsed page: fails on tags that do not nest, collects ids, text, links and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open
        self.ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(self.ids) == len(set(self.ids))
        self.text = " ".join(" ".join(self.words).split())
        self.data = json.loads(self.scripts[0])

    def handle_starttag(self, name: str, attributes: list) -> None:
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(text)
        elif not self.open or self.open[-1] != "style":
            self.words.append(text)


def page(folder) -> Page:
    """The page alone: plots take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "skeleton_lab.reporting.run_report.plots", None)
        patch.delattr(run_report, "plots", raising=False)
        return Page(run_report.write(folder).read_text("utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = fake.complete(tmp_path_factory.mktemp("run"), occurring=10)
    return folder, Page(run_report.write(folder).read_text("utf-8"))


def test_a_finished_run_gives_all_sections_and_plots(finished):
    folder, shown = finished
    assert {"curves", "confusion-matrix", "classes", "pairs", "configuration", "environment"} <= set(shown.ids)
    for name in PLOTS:
        assert (folder / "plots" / name).read_bytes().startswith(b"\x89PNG")
    assert not list(folder.rglob("*.tmp"))
    for words in (
        "model.ctrgcn.Model",
        "NTU60_CS.npz",
        "1,460,000",
        "Some GPU",
        "2.3.0",
        "base_lr",
        "test_feeder_args.window_size",
    ):
        assert words in shown.text
    assert "--note '<b>'" in shown.text


def test_the_headline_names_best_on_test_and_last_epoch(finished):
    events = fake.lines(12)
    tests = {event["epoch"]: event for event in events if event["event"] == "eval"}
    best = max(tests.values(), key=lambda event: event["top1"])
    text = finished[1].text
    assert f"Best on test (top-1) {100 * best['top1']:.2f} % epoch {best['epoch']}" in text
    assert f"Last epoch (top-1) {100 * tests[12]['top1']:.2f} % epoch 12" in text


def test_nothing_is_fetched_and_only_our_own_script_may_run(finished):
    folder, shown = finished
    text = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"(https?:)?//[\w.-]+\.\w", re.sub(r"^\s*//.*$", "", text, flags=re.M))
    for name, attributes in shown.tags:
        assert "src" not in attributes and not any(key.startswith("on") for key in attributes), (name, attributes)
        assert attributes.get("href", "#").startswith(("#", "data:"))
    digest = base64.b64encode(hashlib.sha256(shown.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "default-src 'none'" in text


def test_confusion_data_counts_every_sample_once(finished):
    folder, shown = finished
    drawn = shown.data["confusion"]
    cells = np.array(drawn["cells"]).reshape(-1, 3)
    saved = np.load(folder / "evaluation.npz")
    labels, pred = saved["labels"], saved["logits"].argmax(1)
    expected = {}
    for pair in zip(labels.tolist(), pred.tolist()):
        expected[pair] = expected.get(pair, 0) + 1
    assert {(drawn["ids"][a], drawn["ids"][b]): n for a, b, n in cells.tolist()} == expected
    assert len(drawn["names"]) == len(drawn["ids"]) <= 11  # of 60 classes only those that occur


def test_charts_carry_their_hover_values(finished):
    charts = finished[1].data["charts"]
    assert [chart["epochs"] for chart in charts] == [list(range(1, 13))] * 4
    accuracy = {series["label"]: series["text"] for series in charts[1]["series"]}
    assert set(accuracy) == {"training", "test top-1", "test top-5"}
    assert accuracy["training"][-1] == f"{95 * (1 - np.exp(-3)):.2f} %"


def test_per_class_accuracy_and_hardest_pairs_against_counting(tmp_path):
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 4])
    pred = np.array([0, 1, 1, 3, 1, 1, 1, 0, 2, 4])
    logits = np.eye(6, dtype=np.float32)[pred]
    np.savez(tmp_path / "evaluation.npz", logits=logits, labels=labels)
    run = load(tmp_path)
    matrix = summary.confusion(run)
    assert matrix.classes.tolist() == [0, 1, 2, 3, 4]
    found = summary.per_class(matrix)
    assert [(entry.cls, entry.correct, entry.total, entry.mistaken) for entry in found] == [
        (0, 1, 4, 1), (2, 1, 2, 0), (1, 3, 3, None), (4, 1, 1, None),
    ]  # fmt: skip
    pairs = summary.hardest_pairs(run, matrix)
    assert [(pair.true, pair.pred, pair.count, pair.total) for pair in pairs] == [
        (0, 1, 2, 4),
        (2, 0, 1, 2),
        (0, 3, 1, 4),
    ]


def results_of_two_epochs(folder):
    """A run whose last epoch is not its best; what was evaluated is the best one."""
    events = fake.lines(3)
    events[4]["top1"], events[6]["top1"] = 0.75, 0.5  # epochs 2 and 3
    fake.write_metrics(folder, [*events, fake.results(events)])
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]
    return dict(logits=logits, labels=np.arange(4))


@pytest.mark.parametrize("told", [True, False], ids=["by the file", "by the accuracy"])
def test_each_part_says_which_epoch_it_shows(tmp_path, told):
    saved = results_of_two_epochs(tmp_path)
    np.savez(tmp_path / "evaluation.npz", **saved, **({"epoch": 2} if told else {}))
    text = page(tmp_path).text
    assert "Best on test (top-1) 75.00 % epoch 2" in text and "Last epoch (top-1) 50.00 % epoch 3" in text
    assert "Epoch 2, best on test: 4 samples, top-1 75.00 %" in text
    assert "Epoch 2, best on test: accuracy, and samples" in text
    assert "Epoch 2, best on test: true class → predicted class" in text and "Last evaluation" not in text
    np.savez(tmp_path / "evaluation.npz", **saved, epoch=3)
    assert "Epoch 3, last epoch: 4 samples" in page(tmp_path).text
    np.savez(tmp_path / "evaluation.npz", **saved, epoch=0)  # foreign weights
    assert "Last evaluation: 4 samples" in page(tmp_path).text


def test_titles_carry_the_name_of_the_run(tmp_path):
    folder = fake.complete(tmp_path / "ctrgcn <joint>", epochs=2, samples=30)
    shown = page(folder)
    assert shown.text.startswith("ctrgcn <joint> · model.ctrgcn.Model · run report ctrgcn <joint>")


def test_pairs_that_are_not_shown_are_counted(tmp_path):
    labels, pred = np.divmod(np.arange(36), 6)
    np.savez(tmp_path / "evaluation.npz", logits=np.eye(6, dtype=np.float32)[pred], labels=labels)
    text = page(tmp_path).text
    assert "12 of 30 confused pairs are shown; the confusion matrix has all of them" in text


@pytest.mark.slow
def test_nothing_in_the_pictures_is_cut(tmp_path):
    fake.complete(tmp_path, epochs=3, num_class=120, samples=600)
    run_report.write(tmp_path)
    for name in PLOTS:
        with Image.open(tmp_path / "plots" / name) as picture:
            ink = np.asarray(picture.convert("L")) < 250
        assert ink.any() and not (ink[:4].any() or ink[-4:].any() or ink[:, :4].any() or ink[:, -4:].any()), name


def test_user_strings_cannot_become_markup(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>$x_{$"
    fake.complete(tmp_path)
    fake.write_metrics(tmp_path, fake.lines(2, model=evil, device=evil, hardware={evil: evil}))
    fake.write_config(tmp_path, data_path=f"/data/{evil}", **{evil: evil})
    fake.write_hardest(tmp_path, count=1, name=np.array([evil]))
    shown = page(tmp_path)
    assert len([name for name, _ in shown.tags if name == "script"]) == 2
    assert not [name for name, _ in shown.tags if name == "img"]
    assert evil in shown.text and shown.data["clips"][0]["name"] == evil


@pytest.mark.slow
def test_class_names_with_markup_are_text(tmp_path, monkeypatch):
    fake.complete(tmp_path)
    fake.write_evaluation(tmp_path, 60, 50, occurring=4)
    monkeypatch.setattr(run_report, "class_names", lambda run: [f"<script>{k}</script> $\\frac$" for k in range(60)])
    shown = Page(run_report.write(tmp_path).read_text("utf-8"))
    assert len([name for name, _ in shown.tags if name == "script"]) == 2
    assert shown.data["confusion"]["names"][1] == "<script>1</script> $\\frac$"
    assert (tmp_path / "plots" / "confusion.png").is_file()


@pytest.mark.slow
def test_120_classes_stay_small(tmp_path):
    fake.complete(tmp_path, epochs=65, num_class=120, samples=5000)
    fake.write_hardest(tmp_path, count=12, frames=300)
    run_report.write(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3e6
    drawn = {"curves", "confusion", "per_class", "skeleton", "reliability"}
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == drawn


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.yaml", "evaluation.npz", "hardest.npz"])
@pytest.mark.parametrize("harm", ["missing", "alone", "truncated", "empty", "noise"])
def test_missing_and_damaged_files_leave_a_report(tmp_path, name, harm):
    fake.complete(tmp_path, epochs=3, samples=50)
    path = tmp_path / name
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "alone":
        for other in tmp_path.iterdir():
            if other != path:
                other.unlink()
    else:
        path.write_bytes(
            {"truncated": content[: len(content) * 2 // 3], "empty": b"", "noise": b"\x00\xff{[: !\n" * 40}[harm]
        )
    assert page(tmp_path).tags


def test_a_crashed_run_says_so_and_the_last_line_of_an_epoch_wins(tmp_path):
    events = fake.lines(4)
    again = [dict(events[0], resumed=True), dict(events[7], loss=0.125), dict(events[8], top1=0.999)]
    fake.write_metrics(tmp_path, [*events, *again])
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"event": "epoch", "epoch": 5, "lo')
    run = load(tmp_path)
    assert run.resumed == 1 and list(run.epochs) == [1, 2, 3, 4] and run.epochs[4]["loss"] == 0.125
    text = page(tmp_path).text
    assert "This run has not finished" in text and "1 damaged line(s)" in text and "99.90 % epoch 4" in text


def test_phase_test_alone_and_behind_a_training(tmp_path):
    start = fake.lines(0)[0]
    test = {"event": "eval", "epoch": 1, "split": "test", "loss": 0.5, "top1": 0.77, "top5": 0.9, "seconds": 5}
    result = {"event": "result", "best": dict(test, step=3), "last": dict(test, step=3), "seconds": 6}
    fake.write_metrics(tmp_path, [start, test, result])
    text = page(tmp_path).text
    assert "Test (top-1) 77.00 %" in text and "Best on test" not in text and "not finished" not in text
    events = fake.lines(4)
    fake.write_metrics(tmp_path, [*events, fake.results(events), start, test, result])
    run = load(tmp_path)
    assert run.evals["test"][1]["top1"] != 0.77  # not epoch 1 of the training
    assert run.result["last"]["epoch"] == 4


def test_validation_picks_the_epoch_when_there_is_one(tmp_path):
    events = [dict(event, split="val") if event["event"] == "eval" else event for event in fake.lines(5)]
    fake.write_metrics(tmp_path, events)
    assert [score.title for score in summary.scores(load(tmp_path))] == ["Best on validation so far"]
    best, last = {"epoch": 4, "top1": 0.8, "loss": 1.0}, {"epoch": 5, "top1": 0.79, "loss": 1.0}
    fake.write_metrics(tmp_path, [*events, {"event": "result", "best": best, "last": last, "seconds": 9}])
    found = summary.scores(load(tmp_path))
    assert [(score.title, score.top1) for score in found] == [("Best on validation", 0.8), ("Last epoch", 0.79)]


def test_null_and_foreign_values_are_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"event": "epoch", "epoch": 1, "loss": NaN, "acc": null, "lr": "high", "seconds": true}\n[1]\n"x"\n'
        '{"event": "epoch", "epoch": 2, "loss": 1.0, "lr": 0.1}\n{"event": "epoch"}\n{"event": "eval", "epoch": 2}\n'
    )
    shown = page(tmp_path)
    assert shown.data["charts"][0]["series"][0]["text"] == ["1"]


def test_no_errors_at_all(tmp_path):
    np.savez(tmp_path / "evaluation.npz", logits=np.eye(3, dtype=np.float32), labels=np.arange(3))
    assert "No sample was misclassified" in page(tmp_path).text


# skeletons


def clips_of(folder, stream="joint", **members):
    fake.write_hardest(folder, **members)
    return clip_json.prepare(load(folder).hardest, stream)


def test_clip_data_decodes_to_the_input_within_a_millimetre(tmp_path):
    clip = clips_of(tmp_path, count=2)[1]
    told = clip.as_json()
    shape = (*told["shape"], 3)
    original = fake.walker(64, 2).transpose(1, 3, 2, 0)
    points = np.frombuffer(base64.b64decode(told["points"]), "<i2").reshape(shape) * (clip.radius / told["radius"])
    assert shape == original.shape and np.abs(points + clip.centre - original).max() < 6e-4
    assert told["present"] == ["1" * 64] * 2


def test_empty_frames_and_persons_are_not_drawn(tmp_path):
    data = np.zeros((3, 3, 40, 25, 2), np.float32)
    data[0, :, :30] = fake.walker(30)
    data[0, :, 10:12] = 0
    data[1] = np.nan
    clips = clips_of(tmp_path, data=data, count=3)
    assert clips[0].points.shape == (30, 1, 25, 3) and clips[0].present.sum() == 28
    assert clips[1].points.shape[:2] == (1, 1) and not clips[1].present.any()
    assert page(tmp_path).data["clips"][1]["present"] == ["0"]


@pytest.mark.parametrize("joints", [20, 25, 18, 17, 46])
def test_any_skeleton_is_drawn(tmp_path, joints):
    rng = np.random.default_rng(0)
    data = rng.uniform(-1, 1, (2, 3, 12, joints, 1)).astype(np.float32)
    edges = np.array([(k, k - 1) for k in range(1, joints)] + [(0, 99)])  # one that is not there
    fake.write_hardest(tmp_path, data=data, count=2, edges=edges)
    shown = Page(run_report.write(tmp_path).read_text("utf-8"))
    assert len(shown.data["edges"]) == joints - 1 and shown.data["clips"][0]["shape"] == [12, 1, joints]
    assert (tmp_path / "plots" / "skeleton.png").is_file()


@pytest.mark.parametrize("said", [{"y_up": True}, {"y_up": False}, {"up": "y"}, {"up": "-y"}])
def test_clips_of_pictures_are_flat_and_upright(tmp_path, said):
    rng = np.random.default_rng(0)
    data = rng.uniform(-1, 1, (1, 3, 12, 26, 1)).astype(np.float32)  # x, y, score
    arrays = {key: np.array(value) for key, value in said.items()}
    (clip,) = clips_of(tmp_path, data=data, count=1, edges=np.zeros((0, 2)), flat=np.array(True), **arrays)
    told = clip.as_json()
    assert told["flat"] and told["view"] == [round(np.pi, 4), 0]
    x, y = data[0, :2, :, :, 0]
    turned = y if set(said.values()) <= {True, "y"} else -y
    assert np.allclose(clip.points[:, 0], np.stack([-x, turned, 0 * x], -1))
    run_report.write(tmp_path)
    assert (tmp_path / "plots" / "skeleton.png").is_file()


def test_bones_become_bodies_again(tmp_path):
    from skeleton_lab.skeletons import bones as streams

    whole = fake.walker(20)
    bones = whole - whole[:, :, streams.NTU]
    clip = clips_of(tmp_path, "bone", data=bones[None], count=1)[0]
    expected = (whole - whole[:, :, 20:21]).transpose(1, 3, 2, 0)[:, :1]
    np.testing.assert_allclose(clip.points, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("args", "stream"),
    [({}, "joint"), ({"bone": True}, "bone"), ({"vel": True, "bone": True}, "bone motion"),
     ({"vel": True}, "joint motion"), ({"data_path": "bone_motion"}, "bone motion"),
     ({"data_path": "/bone/NTU60_CS.npz"}, "joint"),
     ({"data_path": "data/train_data_bone.npy"}, "bone"), ({"data_path": None}, "joint"),
     ({"data_type": "b"}, "bone"), ({"data_type": "jm"}, "joint motion"), ({"data_type": "j"}, "joint"),  # SkateFormer
     ({"pipeline": [{"type": "PreNormalize3D"}, {"type": "GenSkeFeat", "feats": ["k"]}]}, "k-bone"),  # PYSKL
     ({"pipeline": [{"type": "GenSkeFeat", "feats": ["j"]}], "data_type": "bm"}, "bone motion")],
)  # fmt: skip
def test_the_stream_is_named(tmp_path, args, stream):
    fake.write_config(tmp_path, **args)
    fake.write_hardest(tmp_path, count=1)
    assert load(tmp_path).stream == stream
    assert stream in page(tmp_path).text


def test_class_names_by_data_set(tmp_path):
    fake.write_evaluation(tmp_path, 10, 30)
    assert run_report.class_names(load(tmp_path))[3] == "class 3"
    fake.write_hardest(tmp_path, joints=20)
    assert run_report.class_names(load(tmp_path))[0] == "pick up with one hand"
    fake.write_evaluation(tmp_path, 60, 30)
    assert run_report.class_names(load(tmp_path))[0] == "drink water"
    with np.load(tmp_path / "evaluation.npz") as file:
        told = dict(file)
    np.savez(tmp_path / "evaluation.npz", **told, class_names=[f"my {k}" for k in range(58)])
    assert run_report.class_names(load(tmp_path))[57:] == ["my 57", "class 58", "class 59"]


# programs and pieces


@pytest.mark.slow
def test_the_program_prints_the_path_and_refuses_bad_folders(tmp_path):
    fake.complete(tmp_path / "run", epochs=2, samples=30)
    command = [sys.executable, "-m", "skeleton_lab.reporting.run_report"]
    done = subprocess.run([*command, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / "run" / "report.html") and not done.stderr
    for bad in (tmp_path / "nowhere", tmp_path):
        done = subprocess.run([*command, str(bad)], capture_output=True, text=True)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and str(bad) in done.stderr


def test_errors_of_the_folder(tmp_path):
    with pytest.raises(UsageError, match="holds no run"):
        run_report.write(tmp_path)
    fake.write_metrics(tmp_path, fake.lines(1))
    (tmp_path / "report.html").mkdir()  # also for root something that cannot be replaced
    with pytest.raises(LabError, match="cannot write the report"):
        run_report.write(tmp_path)
    assert not list(tmp_path.glob(".*.tmp"))


def test_without_matplotlib_the_page_is_complete(tmp_path, caplog):
    fake.complete(tmp_path)
    assert page(tmp_path).data["confusion"] and not (tmp_path / "plots").exists()
    assert "matplotlib" in caplog.text


@pytest.mark.slow
def test_neither_torch_nor_pyplot_is_needed(tmp_path):
    fake.complete(tmp_path, epochs=2, samples=30)
    code = f"from skeleton_lab.reporting import run_report; run_report.write({str(tmp_path)!r})"
    code += "; import sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'matplotlib.pyplot'" not in done.stdout and "'torch'" not in done.stdout


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.3, 0.9), (600.2, 629.7), (1e-9, 3e-9), (5, 5), (0, 0), (-2, 3)])
def test_ticks_enclose_the_values_in_round_steps(low, high):
    marks = line_chart.ticks(low, high)
    assert marks[0] <= low + 1e-12 and marks[-1] >= high - 1e-12 and 2 <= len(marks) <= 9
    assert np.all(np.diff(marks) > 0)
