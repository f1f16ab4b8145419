"""One page of every kind that the lab writes, for the tests that drive them in a browser."""

from __future__ import annotations

from pathlib import Path

import fake_run as fake
import many_runs
import numpy as np
import pytest
import torch
import zero_shot_folder

from skeleton_lab.compare import finding
from skeleton_lab.compare import page as comparison_page
from skeleton_lab.compare.comparison import compare
from skeleton_lab.data.archives import class_names
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.feeders.ntu import NTUFeeder
from skeleton_lab.data.synthetic import archive
from skeleton_lab.explain import attribution, cells
from skeleton_lab.explain import page as explain_page
from skeleton_lab.explain.choice import Asked
from skeleton_lab.explain.clip import Clip
from skeleton_lab.explain.results import Explained
from skeleton_lab.inference import overlay
from skeleton_lab.inference.windows import Recordings, Row, rows_of
from skeleton_lab.plan import cards
from skeleton_lab.plan import page as plan_page
from skeleton_lab.plan.data import Data
from skeleton_lab.plan.machine import Machine
from skeleton_lab.plan.planning import Row as PlanRow
from skeleton_lab.reporting import run_report
from skeleton_lab.reporting.skeletons.__main__ import main as list_skeletons
from skeleton_lab.reporting.viewer.__main__ import main as view
from skeleton_lab.skeletons import layouts
from skeleton_lab.zero_shot.report import page as zero_shot_report

NAMES = class_names.published(60, ucla=False)
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"  # as a name of whatever a page tells


class Arrays(Recordings):
    """Recordings from memory: ``clips`` of (T, M, V, 3), named after ``name`` and their number."""

    def __init__(self, clips: list[np.ndarray], labels: list[int] | None = None, name: str = "walk"):
        super().__init__([f"{name}_{k}" for k in range(len(clips))], labels, "ntu25")
        self.clips = clips

    def points(self, k: int) -> np.ndarray:
        return self.clips[k]


def walk(frames: int) -> np.ndarray:
    """(T, 2, 25, 3) of two persons who walk."""
    return fake.walker(frames, 2).transpose(1, 3, 2, 0).copy()


def predictions(folder: Path, recordings: Recordings, action=lambda row: 0) -> Path:
    """``predictions.html`` as ``predict.py`` writes it, of a network that says ``action(row)`` of every window."""
    rows = rows_of(recordings, 64, 32, 2, alone=True)
    for row in rows:
        row.logits = np.eye(60)[action(row)] * 8
    path = folder / "predictions.html"
    path.write_bytes(overlay.html(recordings, rows, NAMES, 30.0, ["walk.npy: a network", "windows of 64 frames"]))
    return path


def explanations(folder: Path, name: str = "walk") -> Path:
    """``explanations.html`` of two people who walk, and of one clip of limbs; the maps are invented."""
    rng, recordings = np.random.default_rng(0), Arrays([walk(90), walk(40)], [3, 4], name)
    made = []
    for k, kind in enumerate(("joints", "limbs")):
        points = recordings.points(k)
        parts = cells.parts_of(layouts.layout("ntu25"), 25, kind)
        mine = cells.cells(points, parts, 6)
        of = {method: rng.standard_normal(mine.map_shape) for method in attribution.METHODS}
        row = Row(k, 0, len(points), "all")
        clip = Clip(NTUFeeder(ArrayClips([points.transpose(3, 0, 2, 1)]), window_size=8), 0)
        asked = Asked(clip, points, row, recordings.names[k], 3, 5, 0.9)
        made.append(Explained(asked, mine, attribution.Maps(5, 4.0, -1.0, 5.0, of)))
    path = folder / "explanations.html"
    path.write_bytes(explain_page.html(made, recordings, NAMES, 30.0, f"Explained: {name}", ["walk.npy"], [name]))
    return path


def report(folder: Path, num_class: int = 60, name: str | None = None) -> Path:
    """``report.html`` of a finished run, without its PNG files, which take their time.

    ``name`` stands wherever a run lets its user name something.
    """
    fake.complete(folder, num_class=num_class, samples=25 * num_class)
    fake.write_evaluation(folder, num_class, 25 * num_class, named=True)
    fake.write_calibration(folder, name or "runs-12-1200.pt")
    if name:
        fake.write_metrics(folder, fake.lines(2, model=name, device=name, hardware={name: name}))
        fake.write_config(folder, data_path=f"/data/{name}", **{name: name})
        fake.write_hardest(folder, count=1, name=np.array([name]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_report, "_plots", lambda *_: None)
        return run_report.write(folder)


def viewed(folder: Path, *words: str) -> Path:
    """``view.html`` of a small synthetic archive; ``words`` choose its clips."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "demo.npz"
    if not source.exists():
        archive.write(source, train=10, test=10, classes=4, frames=70, progress=False)
    path = folder / "view.html"
    assert view([str(source), *words, "--output", str(path), "--quiet"]) == 0
    return path


def plan(folder: Path, name: str = "a card") -> Path:
    """``plan.html`` with a row of every kind of answer."""
    folder.mkdir(parents=True, exist_ok=True)
    where = Machine(name, cards.find("RTX 4060"), torch.device("cpu"), 8.0, 7.0, "bf16-mixed")
    shared = dict(room="A room", config="config/ntu/a.yaml", batch=64, epochs=65, memory=5.0, memory_from="forecast",
                  time_from="forecast", host=1.0)  # fmt: skip
    rows = [
        PlanRow(**shared, fits=True, flags="", same=True, epoch=200.0, hours=3.6),
        PlanRow(**shared, fits=False, flags="--activation-checkpointing", same=True, epoch=300.0, hours=5.4),
        PlanRow(**shared, fits=False, flags=None, same=True, epoch=float("nan"), hours=float("nan")),
    ]
    path = folder / "plan.html"
    path.write_text(plan_page.html(where, Data(name, 1000, 0.7, 10**9), rows), "utf-8")
    return path


def comparison(folder: Path, name: str = "") -> Path:
    """``comparison.html`` of two networks of two seeds; ``name`` is what a run says of itself."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = many_runs.make(folder / "runs")
    for run in runs.iterdir():  # of a published figure
        (run / "config.yaml").write_text(f"config: config/nturgbd-cross-subject/default.yaml\nseed: {run.name[-1]}\n")
    for run in runs.iterdir() if name else ():
        many_runs.rewrite(run, class_names=np.array([f"{name}{k}" for k in range(many_runs.CLASSES)]))
        fake.write_config(run, data_path=f"/data/{name}", seed=run.name[-1])
    path = folder / "comparison.html"
    path.write_text(comparison_page.build(compare(finding.find([f"{runs}/*"])[0], show=False)), "utf-8")
    return path


def skeletons(folder: Path) -> Path:
    """The page of one that is known; that of all is more of the same."""
    path = folder / "skeletons.html"
    assert list_skeletons(["body25", "--output", str(path)]) == 0
    return path


def zero_shot(folder: Path) -> tuple[Path, Path]:
    """``zero_shot.html`` of a run of two seeds, and of the first of them."""
    given = zero_shot_folder.write(folder / "given")
    place = zero_shot_folder.stages(given, folder / "work", "--select", "last", seeds=("--seeds", "5", "6"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zero_shot_report, "_plots", lambda *_: None)
        summary = zero_shot_report.write(place)
    return summary, folder / "work" / "5_r" / "seed_5" / zero_shot_folder.LE / "lb" / "zero_shot.html"
