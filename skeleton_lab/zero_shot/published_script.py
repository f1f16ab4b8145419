"""All experiments of a published shell script: four stages and a log line for each split and text mode.

``fsvae_60.sh`` and its like call this in their room's folder with their settings.  The programs run as on the command
line; figures go from one to the next through the JSON files that each writes.  A stage that fails stops everything.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from skeleton_lab.data.archives import class_splits
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils.cli import Parser
from skeleton_lab.zero_shot.align import seeds
from skeleton_lab.zero_shot.align.seeds import GATED
from skeleton_lab.zero_shot.align.selection import BEST, CHOICES, HELP, VAL
from skeleton_lab.zero_shot.align.settings import METRICS, SEEDS, load_json, results_folder
from skeleton_lab.zero_shot.report import page

MODES = ("lb", "ad", "md", "ad_md", "lb_ad_md")


class StageError(Exception):
    """A program ended with an exit code other than 0; it has said why."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


def _call(program: str, **flags: object) -> None:
    """Run a program of the room in the current folder; None leaves a flag out, True is a switch, a list many words."""
    words = [sys.executable, program]
    for name, value in flags.items():
        if value is not None:
            values = value if isinstance(value, list) else [] if value is True else [value]
            words += [f"--{name}", *map(str, values)]
    code = subprocess.run(words).returncode
    if code:
        raise StageError(code)


def _percent(value: float | None) -> str:
    return "nan" if value is None else f"{100 * value:.2f}"


def experiment(flags, unseen: int, modes: str) -> None:
    """One split and text mode."""
    print(f"NTU{flags.ntu}u{unseen} {modes}", flush=True)
    work, val = Path("results") / f"{unseen}_{flags.st}", Path("results") / f"{unseen}_{flags.st}_val"
    shared = {"ss": unseen, "st": flags.st, "ve": flags.ve, "le": flags.le, "tm": modes, "ntu": flags.ntu}
    on_train = {"phase": "train", "dataset": f"sk_feats/{flags.ve}_{unseen}_{flags.st}/", "wdir": work}
    on_val = {"phase": "val", "dataset": f"sk_feats/{flags.ve}_val_{unseen}_{flags.st}/", "wdir": val}
    schedule = {
        "num_cycles": flags.num_cycles, "num_epoch_per_cycle": flags.num_epoch_per_cycle, "mode": "train",
        "latent_size": flags.latent_size, "gpu": flags.gpu, "resume": flags.resume or None,
    }  # fmt: skip
    own = {"alpha": flags.alpha, "lmd": flags.lmd, "use_cr_fact": flags.use_cr_fact, "version": flags.version}
    own |= {"select": flags.select, "seeds": flags.seeds}
    folder = results_folder(work, flags.le, modes)
    stages = [("Stage 1", on_train), ("Stage 2", on_val)]
    if flags.select == VAL:  # stage 2 chooses the cycle
        stages.reverse()
    for title, place in stages:
        print(title, flush=True)
        _call(flags.train_program, **shared, **place, **schedule, **own)
        if title == "Stage 1" and not flags.seeds:
            aligned = load_json(folder / METRICS)
            best = "Best ZSL Acc" if flags.select == BEST else f"ZSL Acc (--select {flags.select})"
            print(f"{best}: {_percent(aligned['zsl_accuracy'])} on cycle {aligned['selected_cycle']}")
    figures = _gated(flags, shared, on_train, on_val, folder)
    s_acc, u_acc, harmonic = (figures[key] for key in GATED)
    print(f"S_Acc: {s_acc}, U_Acc: {u_acc}, H_Mean: {harmonic}")
    print("Log", flush=True)
    _call("log.py", ntu=flags.ntu, ss=unseen, tm=modes, za=figures["zsl_accuracy"], sa=s_acc, ua=u_acc, hm=harmonic,
          le=flags.le, ls=flags.latent_size, nepc=flags.num_epoch_per_cycle)  # fmt: skip
    print(f"Report: {page.write(folder)}")
    print("Finish", flush=True)


def _gated(flags, shared: dict, on_train: dict, on_val: dict, folder: Path) -> dict[str, str]:
    """Stages 3 and 4; the figures in percent, of several seeds with their spread."""
    print("Stage 3", flush=True)
    several = {"seeds": flags.seeds}
    _call("gating_train.py", **shared, **on_val, **several, th=flags.th, t=flags.t)
    print("Stage 4", flush=True)
    if flags.seeds:  # each with the threshold and temperature of its own gate
        _call("gating_eval.py", **shared, **on_train, **several)
        told = load_json(folder / SEEDS)
        return {key: seeds.written(told["mean"][key], told["sd"][key], 2) for key in ("zsl_accuracy", *GATED)}
    gate = load_json(folder / "gating_train.json")
    _call("gating_eval.py", **shared, **on_train, thresh=gate["threshold"], temp=gate["temperature"])
    told = load_json(folder / METRICS) | load_json(folder / "gating_eval.json")
    return {key: _percent(told[key]) for key in ("zsl_accuracy", *GATED)}


def main() -> int:
    parser = Parser("python -m skeleton_lab.zero_shot.published_script", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--ntu", type=int, required=True)
    add("--ss", type=int, nargs="+", required=True, help="unseen classes, of one split after the other")
    add("--tm", nargs="+", default=list(MODES), help="text modes (default: all five)")
    add("--st", default="r")
    add("--ve", default="shift")
    add("--le", default="ViT-B/32")
    add("--num_cycles", type=int, default=10)
    add("--num_epoch_per_cycle", type=int, required=True)
    add("--latent_size", type=int, required=True)
    add("--gpu", default="0")
    add("--train_program", default="train.py")
    for name in ("alpha", "lmd", "use_cr_fact", "version"):
        add(f"--{name}", help="of FS-VAE")
    add("--th", type=int, default=50, help="threshold of the gate in percent; 0: search")
    add("--t", type=int, default=2, help="temperature of the gate; 0: search")
    add("--resume", action="store_true", help="take up interrupted trainings where they stopped")
    add("--select", choices=CHOICES, default=BEST, help=HELP)
    seeds.add_flag(parser)
    flags = parser.parse_args()
    return guarded(lambda: run(flags))


def run(flags) -> int:
    seeds.check(flags.seeds or [])
    for unseen in flags.ss:  # mistakes show before hours of work
        for phase, kind in (("train", ""), ("val", "_val")):
            class_splits.load(flags.st, unseen, flags.ntu, phase)
            folder = Path("sk_feats") / f"{flags.ve}{kind}_{unseen}_{flags.st}"
            if not folder.is_dir():
                raise UsageError(
                    f"--ss {unseen} --st {flags.st} --ve {flags.ve}: there is no folder {folder.absolute()}"
                )
    try:
        _call("gen_text_feat.py", ntu=flags.ntu, arch=flags.le, gpu=flags.gpu)
        for unseen in flags.ss:
            for modes in flags.tm:
                experiment(flags, unseen, modes)
    except StageError as failed:
        return failed.code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
