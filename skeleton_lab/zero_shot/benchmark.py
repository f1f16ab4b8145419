"""The four stages of both methods on the synthetic benchmark: ``python -m skeleton_lab.zero_shot.benchmark --out DIR``.

Single runs vary by 5 to 10 points: the mean over the trainer's seeds is what counts.
"""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path

from skeleton_lab.errors import LabError, guarded
from skeleton_lab.flags import Parser
from skeleton_lab.zero_shot import gating, programs, synthetic
from skeleton_lab.zero_shot.networks import VARIANTS
from skeleton_lab.zero_shot.settings import load_json, results_folder, save_json

FIGURES = ("zsl_accuracy", "last_zsl_accuracy", "seen_accuracy", "unseen_accuracy", "h_mean")


def stages(variant: str, seed: int, flags, folders: tuple[Path, Path]) -> dict[str, float]:
    """Stages 1 to 4; returns their figures (fractions) and the seconds of both trainings.

    Raises:
        LabError: a stage failed; it has said why.
    """
    work = flags.out / "results" / f"{variant}_{seed}" / f"{flags.ss}_r"
    val = work.with_name(f"{work.name}_val")
    shared = ["--ntu", flags.ntu, "--ss", flags.ss, "--le", flags.le, "--tm", flags.tm]
    schedule = ["--num_cycles", flags.cycles, "--num_epoch_per_cycle", flags.length, "--latent_size", flags.latent,
                "--seed", seed, "--text_feats", flags.text_feats, "--gpu", flags.gpu]  # fmt: skip
    start = time.perf_counter()
    for phase, folder, wdir in (("train", folders[0], work), ("val", folders[1], val)):
        place = ["--phase", phase, "--dataset", folder, "--wdir", wdir]
        _run(programs.train, variant, [*shared, *schedule, *place])
    seconds = time.perf_counter() - start
    _run(gating.gating_train, [*shared, "--dataset", folders[1], "--wdir", val, "--th", 50, "--t", 2])
    _run(gating.gating_eval, [*shared, "--dataset", folders[0], "--wdir", work, "--temp", 2, "--thresh", 0.5])
    result = results_folder(work, flags.le, flags.tm)
    told = load_json(result / "train.json") | load_json(result / gating.EVAL_METRICS)
    return {key: told[key] for key in FIGURES} | {"seconds": seconds}


def _run(program, *arguments) -> None:
    """A program, without what it prints for scripts."""
    *first, argv = arguments
    with contextlib.redirect_stdout(io.StringIO()):
        code = program(*first, [str(word) for word in argv])
    if code:
        raise LabError(f"the stage ended with exit code {code}")


def main() -> int:
    parser = Parser("python -m skeleton_lab.zero_shot.benchmark", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for features, results and benchmark.json")
    add("--text-feats", type=Path, default=Path("text_feats"), help="text features (default: %(default)s)")
    add("--methods", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: both")
    add("--seeds", type=int, nargs="+", default=[5, 6, 7], help="of the trainer (default: 5 6 7)")
    add("--ntu", type=int, default=60, choices=(60, 120))
    add("--ss", type=int, default=12, help="unseen classes (default: %(default)s)")
    add("--le", default="ViT-B/32")
    add("--tm", default="lb")
    add("--cycles", type=int, default=3, help="the third is the first with all terms (default: %(default)s)")
    add("--length", type=int, default=1700, help="steps of a cycle (default: %(default)s)")
    add("--latent", type=int, default=100, help="latent size (default: %(default)s)")
    add("--gpu", default="0", help="index of the GPU, or cpu (default: %(default)s)")
    flags = parser.parse_args()
    folders = synthetic.write(flags.out, flags.text_feats, flags.ntu, flags.ss, flags.le, flags.tm)
    found: dict[str, dict] = {}
    print("method seed    ZSL   last   seen unseen      h  seconds")
    for variant in flags.methods:
        runs = {}
        for seed in flags.seeds:
            runs[str(seed)] = stages(variant, seed, flags, folders)
            _line(variant, str(seed), runs[str(seed)])
        mean = {key: sum(run[key] for run in runs.values()) / len(runs) for key in (*FIGURES, "seconds")}
        _line(variant, "mean", mean)
        found[variant] = {"runs": runs, "mean": mean}
        save_json(flags.out / "benchmark.json", found)
    return 0


def _line(variant: str, seed: str, run: dict[str, float]) -> None:
    figures = " ".join(f"{100 * run[key]:6.2f}" for key in FIGURES)
    print(f"{variant:6} {seed:>4} {figures} {run['seconds']:8.1f}", flush=True)


if __name__ == "__main__":
    raise SystemExit(guarded(main))
