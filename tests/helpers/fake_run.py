"""Work dirs as a run leaves them, made up: for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.calibration.program import figures
from skeleton_lab.data.feeders import corruption_kinds
from skeleton_lab.skeletons import bones

# Kinect v2 at rest, metres, y up, the sensor looking along +z at the person's face
REST = np.array([
    (0, 0.95, 0), (0, 1.2, 0), (0, 1.5, 0), (0, 1.65, 0),
    (-0.18, 1.4, 0), (-0.28, 1.15, 0), (-0.3, 0.92, 0), (-0.3, 0.85, 0),
    (0.18, 1.4, 0), (0.28, 1.15, 0), (0.3, 0.92, 0), (0.3, 0.85, 0),
    (-0.1, 0.93, 0), (-0.11, 0.5, 0), (-0.11, 0.08, 0), (-0.11, 0.03, -0.14),
    (0.1, 0.93, 0), (0.11, 0.5, 0), (0.11, 0.08, 0), (0.11, 0.03, -0.14),
    (0, 1.42, 0), (-0.3, 0.78, 0), (-0.26, 0.84, -0.03), (0.3, 0.78, 0), (0.26, 0.84, -0.03),
])  # fmt: skip


def walker(frames: int, persons: int = 1, joints: int = 25) -> np.ndarray:
    """(3, T, V, M): persons who walk towards the sensor and wave."""
    phase = np.linspace(0, 6 * np.pi, frames)[:, None]
    body = np.repeat(REST[None], frames, 0)
    for side, leg, arm in ((1, (13, 14, 15), (5, 6, 7, 21, 22)), (-1, (17, 18, 19), (9, 10, 11, 23, 24))):
        swing = side * np.sin(phase)
        body[:, leg, 2] += 0.3 * swing * np.array([0.5, 1, 1])
        body[:, arm, 2] -= 0.2 * swing
        body[:, arm[1:], 1] += (0.8 + 0.1 * np.sin(3 * phase)) if side > 0 else 0
    body[..., 2] += 2 - 0.1 * phase
    people = [body + np.array([0.9 * person, 0, 0]) for person in range(persons)]
    people += [np.zeros_like(body)] * (2 - persons)
    return np.stack(people, -1).transpose(2, 0, 1, 3)[:, :, :joints].astype(np.float32)


def lines(epochs: int, num_class: int = 60, **start: Any) -> list[dict]:
    """The events of an unbroken run."""
    rng = np.random.default_rng(0)
    events: list[dict] = [{
        "event": "start", "time": "2026-03-01T12:00:00", "program": "C", "model": "model.ctrgcn.Model",
        "feeder": "feeders.feeder_ntu.Feeder", "parameters": 1460000, "device": "cuda:0", "precision": "32",
        "argv": ["--config", "config/a b.yaml"], "versions": {"python": "3.11", "torch": "2.3.0", "numpy": "1.26"},
        "hardware": {"cpu": "Some CPU", "cores": 8, "gpu": "Some GPU"}, "num_class": num_class, "train_samples": 40091,
        "test_samples": 16487, "resumed": False, **start,
    }]  # fmt: skip
    for epoch in range(1, epochs + 1):
        done = 1 - np.exp(-3 * epoch / epochs)
        lr = 0.1 * 0.1 ** ((epoch > 0.55 * epochs) + (epoch > 0.85 * epochs))
        events.append({
            "event": "epoch", "epoch": epoch, "step": 100 * epoch, "loss": 4 - 3.8 * done + 0.05 * rng.random(),
            "acc": 0.95 * done, "lr": lr, "seconds": 60.5, "samples_per_second": 600 + 30 * rng.random(),
            "data_seconds": 2.5, "peak_rss_mb": 1500 + epoch, "peak_gpu_mb": 4200, "energy_joules": 9e5,
        })  # fmt: skip
        top1 = 0.88 * done + 0.02 * rng.random()
        events.append({
            "event": "eval", "epoch": epoch, "loss": 3.5 - 2.8 * done + 0.1 * rng.random(), "top1": top1,
            "top5": min(1.0, top1 + 0.1), "seconds": 9.0, "split": "test",
        })  # fmt: skip
    return events


def results(events: list[dict]) -> dict:
    tests = [event for event in events if event["event"] == "eval" and event["split"] == "test"]
    best = max(tests, key=lambda event: event["top1"])
    return {
        "event": "result",
        "best": dict(best, step=1),
        "last": dict(tests[-1], step=2),
        "seconds": 4000.0,
        "work_dir": "w",
    }


def write_metrics(folder: Path, events: list[dict]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def write_config(folder: Path, **feeder_args: Any) -> None:
    args = json.dumps({"data_path": "data/NTU60_CS.npz", "window_size": 64, **feeder_args})
    (folder / "config.yaml").write_text(
        "# command line: --config config/a.yaml --note '<b>'\n\nbase_lr: 0.1\nmodel: model.ctrgcn.Model\n"
        f"model_args: {{num_class: 60}}\nstep: [35, 55]\ntest_feeder_args: {args}\n"
    )


def write_evaluation(
    folder: Path, num_class: int, samples: int, occurring: int | None = None, named: bool = False
) -> None:
    """Logits with neighbouring classes confused now and then; ``named`` as NTU RGB+D does, of 40 subjects."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, occurring or num_class, samples)
    skill = rng.uniform(0.6, 1, num_class)[labels]
    wrong = (
        np.where(rng.random(samples) < 0.7, labels ^ 1, rng.integers(0, occurring or num_class, samples)) % num_class
    )
    pred = np.where(rng.random(samples) < skill, labels, wrong)
    logits = rng.normal(size=(samples, num_class)).astype(np.float32)
    logits[np.arange(samples), pred] += 12
    names = np.array([f"test_{k}" for k in range(samples)])
    told = {}
    if named:
        who = zip(rng.integers(1, 18, samples), rng.integers(1, 4, samples), rng.integers(1, 41, samples), labels + 1)
        names = np.array([f"S{s:03}C{c:03}P{p:03}R001A{a:03}" for s, c, p, a in who])
        told["frames"] = rng.integers(20, 300, samples)
    np.savez(folder / "evaluation.npz", logits=logits, labels=labels, index=np.arange(samples), names=names, **told)


def write_calibration(folder: Path, weights: str = "runs-12-1200.pt", unknown: bool = True) -> dict[str, Any]:
    """A network that was three times too sure of four classes, and a fifth that it had never seen."""
    rng = np.random.default_rng(3)

    def clips(count: int) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(0, 1.5, (count, 5)) - np.eye(5)[4] * 6
        return 3 * logits, (logits + rng.gumbel(size=logits.shape)).argmax(1) % 4

    (validation, labels), (test, test_labels) = clips(300), clips(400)
    if unknown:
        test[300:] *= 0.5
        test_labels[300:] = 4
    told = {
        "room": "CTR-GCN", "model": "model.ctrgcn.Model", "weights": weights, "digest": "0", "classes": [0, 1, 2, 3],
        "subjects": {"held_out": 2, "of": 20}, **figures(validation, labels, test, test_labels, np.arange(4)),
    }  # fmt: skip
    (folder / "calibration.json").write_text(json.dumps(told))
    return told


def write_hardest(
    folder: Path, count: int = 4, frames: int = 64, joints: int = 25, edges: Any = None, **members: Any
) -> None:
    data = np.stack([walker(frames, 1 + k % 2, joints) for k in range(count)])
    if edges is None:
        edges = bones.edges(bones.BY_JOINTS[joints])
    label = np.arange(count) // 2 * 2
    content = {"data": data, "label": label, "pred": label + 1, "name": np.array([f"test_{k}" for k in range(count)]),
               "index": np.arange(count), "edges": np.array(edges), **members}  # fmt: skip
    np.savez(folder / "hardest.npz", **content)


def write_robustness(folder: Path, kinds: Any = None, factor: float = 0.9) -> Path:
    """A table of ``--corrupt``: 0.8 of clips as they are, and ``factor`` of what is left at every severity."""
    rows = ["corruption,severity,amount,loss,top1,top5,clips", "none,0,0,1.0,0.8,0.95,100"]
    for kind in corruption_kinds.KINDS if kinds is None else kinds:
        amounts = enumerate(corruption_kinds.KINDS[kind].amounts, 1)
        rows += [f"{kind},{s},{a},1.5,{0.8 * factor**s:.4f},0.9,100" for s, a in amounts]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "robustness.csv").write_text("\n".join(rows) + "\n")
    return folder


def complete(
    folder: Path, epochs: int = 12, num_class: int = 60, samples: int = 400, occurring: int | None = None
) -> Path:
    """A finished run with every file."""
    folder.mkdir(parents=True, exist_ok=True)
    events = lines(epochs, num_class)
    write_metrics(folder, [*events, results(events)])
    write_config(folder)
    write_evaluation(folder, num_class, samples, occurring)
    write_hardest(folder)
    write_robustness(folder)
    return folder
