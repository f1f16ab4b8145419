"""The four stages of both methods on the synthetic benchmark: ``python -m benchmarks.zero_shot --out DIR``.

Single runs vary by 5 to 10 points: the mean over the trainer's seeds is what counts.
"""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from typing import Any

from skeleton_lab.errors import LabError, guarded
from skeleton_lab.utils.cli import Parser
from skeleton_lab.zero_shot import synthetic
from skeleton_lab.zero_shot.align import program as programs
from skeleton_lab.zero_shot.align import seeds, selection
from skeleton_lab.zero_shot.align.settings import SEEDS, load_json, results_folder, save_json, stage_two
from skeleton_lab.zero_shot.gate import program as gating
from skeleton_lab.zero_shot.model.objective import VARIANTS


def stages(variant: str, flags, folders: tuple[Path, Path]) -> dict[str, Any]:
    """Stages 1 to 4 with every seed; returns the summary, with the seconds of all trainings.

    Raises:
        LabError: a stage failed; it has said why.
    """
    work = flags.out / "results" / variant / f"{flags.ss}_r"
    val = stage_two(work)
    shared = ["--ntu", flags.ntu, "--ss", flags.ss, "--le", flags.le, "--tm", flags.tm, "--seeds", *flags.seeds]
    schedule = ["--num_cycles", flags.cycles, "--num_epoch_per_cycle", flags.length, "--latent_size", flags.latent,
                "--text_feats", flags.text_feats, "--gpu", flags.gpu, "--select", flags.select]  # fmt: skip
    start = time.perf_counter()
    for phase, folder, wdir in (("val", folders[1], val), ("train", folders[0], work)):  # the order of --select val
        place = ["--phase", phase, "--dataset", folder, "--wdir", wdir]
        _run(programs.train, variant, [*shared, *schedule, *place])
    seconds = time.perf_counter() - start
    _run(gating.gating_train, [*shared, "--dataset", folders[1], "--wdir", val, "--th", 50, "--t", 2])
    _run(gating.gating_eval, [*shared, "--dataset", folders[0], "--wdir", work, "--text_feats", flags.text_feats])
    return load_json(results_folder(work, flags.le, flags.tm) / SEEDS) | {"seconds": seconds}


def _run(program, *arguments) -> None:
    """A program, without what it prints for scripts."""
    *first, argv = arguments
    with contextlib.redirect_stdout(io.StringIO()):
        code = program(*first, [str(word) for word in argv])
    if code:
        raise LabError(f"the stage ended with exit code {code}")


def main() -> int:
    parser = Parser("python -m benchmarks.zero_shot", description=__doc__.split("\n")[0])
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
    add("--select", choices=selection.CHOICES, default=selection.LAST, help="which cycle answers (default: last)")
    flags = parser.parse_args()
    seeds.check(flags.seeds)
    folders = synthetic.write(flags.out, flags.text_feats, flags.ntu, flags.ss, flags.le, flags.tm)
    found: dict[str, dict] = {}
    for variant in flags.methods:
        found[variant] = stages(variant, flags, folders)
        save_json(flags.out / "benchmark.json", found)
        print(f"\n{variant}, percent, --select {flags.select}; trainings took {found[variant]['seconds']:.0f} s")
        print(seeds.table(found[variant]), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(guarded(main))
