"""Fine-tuning against training from nothing, on own classes of another skeleton: how many epochs does each need?

    SKELETON=coco17 make demo
    python -m benchmarks.fine_tuning --weights demo/ctrgcn_coco17/runs-8-320.pt --output docs/images/fine-tuning.png

The demo's network knows ten actions as COCO's 17 joints.  Here it learns five others (picking up, sitting down,
standing up, rubbing hands, bowing) as OpenPose's 18, 20 clips of each, and is tested on 200 clips of other people.
Both ways take the same recipe, seeds and clips.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.synthetic import archive
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.skeletons import layouts
from skeleton_lab.utils.cli import Parser

ACTIONS = (5, 7, 8, 33, 34)  # none of the demo's
EPOCHS = 10
ENOUGH = 0.85
RECIPE = f"--num-epoch {EPOCHS} --step 8 --warm_up_epoch 1 --base-lr 0.02 --batch-size 10 --num-worker 0 --device cpu"
FEEDER = "data_path={},window_size=16,p_interval=[0.9,1],random_rot=False"
TEST_FEEDER = "data_path={},window_size=16"


def as_openpose(x: np.ndarray) -> np.ndarray:
    """COCO's key points (N, 3, T, 17, M) in OpenPose's order, (N, 3, T, 18, M); the neck is between the shoulders."""
    coco, openpose = layouts.layout("coco17"), layouts.layout("coco18")
    shoulders = x[..., [coco.at("left_shoulder"), coco.at("right_shoulder")], :]
    neck = np.concatenate([shoulders[:, :2].mean(-2), shoulders[:, 2:].min(-2)], 1)
    return np.stack([neck if name == "neck" else x[..., coco.at(name), :] for name in openpose.joints], -2)


def write_own(path: Path) -> None:
    """The archive that both ways learn from."""
    archive.write(path, train=100, test=200, actions=ACTIONS, seed=7, skeleton="coco17")
    with np.load(path) as members:
        own = {**members, **{key: as_openpose(members[key]) for key in ("x_train", "x_test")}}
    np.savez(path, **own | {"skeleton": np.array("coco18")})


def accuracies(data: Path, work_dir: Path, seed: int, weights: Path | None) -> list[float]:
    """Accuracy on the test split behind every epoch, fractions; a finished run of the folder is not repeated.

    Raises:
        LabError: the training failed.
    """
    command = [sys.executable, "-m", "skeleton_lab", "train", "ctrgcn", *RECIPE.split(), "--seed", str(seed),
               "--train-feeder-args", FEEDER.format(data), "--test-feeder-args", TEST_FEEDER.format(data),
               "--model-args", f"num_class={len(ACTIONS)}", "--report", "False", "--resume", "--work-dir",
               str(work_dir), *(["--weights", str(weights)] if weights else [])]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    lines = map(json.loads, (work_dir / "metrics.jsonl").read_text().splitlines())
    return [line["top1"] for line in lines if line["event"] == "eval"][:EPOCHS]


def needed(run: Sequence[float]) -> int | None:
    """The first epoch from which the accuracy is enough; None if it never is."""
    return next((epoch for epoch, top1 in enumerate(run, 1) if top1 >= ENOUGH), None)


def draw(runs: dict[str, list[list[float]]], path: Path) -> None:
    """Mean and range over the seeds, epoch by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    epochs = range(1, EPOCHS + 1)
    for way, of_seeds in runs.items():
        columns = [[100 * top1 for top1 in column] for column in zip(*of_seeds)]
        (line,) = axes.plot(epochs, [statistics.mean(column) for column in columns], marker="o", ms=3, label=way)
        axes.fill_between(epochs, list(map(min, columns)), list(map(max, columns)), color=line.get_color(), alpha=0.15)
    axes.axhline(100 * ENOUGH, color="gray", lw=0.8, ls=":")
    axes.set(xlabel="epoch", ylabel="accuracy on other people [%]", ylim=(0, 100), xticks=list(epochs))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="Epochs that own classes of another skeleton need, from trained weights and from none.")
    parser.add_argument("--weights", type=Path, required=True, help="of CTR-GCN's demo on key points")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("work_dir/fine_tuning"), help="for archive and runs")
    parser.add_argument("--output", type=Path, help="PNG")
    return parser


def _main(argv: Sequence[str] | None) -> None:
    flags = _parser().parse_args(argv)
    if not flags.weights.is_file():
        raise UsageError(f"--weights {flags.weights}: there is no such file; SKELETON=coco17 make demo makes one")
    flags.folder.mkdir(parents=True, exist_ok=True)
    data = flags.folder.resolve() / "own.npz"
    write_own(data)
    runs: dict[str, list[list[float]]] = {}
    for way, weights in (("fine-tuned", flags.weights), ("from nothing", None)):
        for seed in flags.seeds:
            run = accuracies(data, flags.folder / f"{way.replace(' ', '_')}-{seed}", seed, weights)
            runs.setdefault(way, []).append(run)
            first = needed(run)
            reached = f"{ENOUGH:.0%} in epoch {first}" if first else f"never {ENOUGH:.0%}"
            print(f"{way}, seed {seed}: {reached}, last {run[-1]:.1%}", flush=True)
    if flags.output:
        draw(runs, flags.output)


if __name__ == "__main__":
    raise SystemExit(guarded(lambda: _main(None)))
