"""The whole zero-shot chain on a synthetic archive: recordings, backbone, features, texts, alignment, gate, accuracy.

The archive shows 22 actions of NTU RGB+D 60, five of which are among the twelve unseen ones of the published split
48/12 and five others among its unseen ones of validation. Texts are those of all 60 classes, as published for ViT-B/32
with MSF-GZSSAR (github.com/EHZ9NIWI7/MSF-GZSSAR), so a zero-shot classifier chooses among twelve classes: chance is
8.3 %. Every step is a documented command; one that was done before is not done again, an interrupted one goes on.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab import registry
from skeleton_lab.data.synthetic import archive
from skeleton_lab.engine.work_dir import LAST
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.zero_shot.align import seeds
from skeleton_lab.zero_shot.align.selection import BEST, CHOICES, HELP, VAL, WORDS
from skeleton_lab.zero_shot.align.selection import LAST as LAST_CYCLE
from skeleton_lab.zero_shot.align.settings import SEEDS, load_json, results_folder, save_json
from skeleton_lab.zero_shot.report import page as report

TEXTS = Path(__file__).parent / "resources" / "text_feats_vit_b_32.npz"
NTU, SS, LE = 60, 12, "ViT-B/32"
FRAMES = 16
SIDES = {"train": "seen", "val": "val_seen"}
SEEDS_GIVEN = (5, 6, 7)
METHODS = {"fsvae": "FS-VAE", "msf-gzssar": "MSF-GZSSAR"}


class Demo:
    """One folder with everything in it.

    Args:
        clips: of the archive for training; half as many test.
        epochs: of the backbones; cycles: of the alignment; steps: of each cycle.
        select: which cycle's classifier answers; several: seeds of alignment and classifier.
    """

    def __init__(
        self, folder: Path, method: str, modes: str, clips: int, epochs: int, cycles: int, steps: int,
        select: str = LAST_CYCLE, several: Sequence[int] = SEEDS_GIVEN,
    ) -> None:  # fmt: skip
        self.select, self.seeds = select, seeds.check(several)
        self.folder, self.method, self.modes = folder, METHODS[method], modes
        self.clips, self.epochs, self.cycles, self.steps = clips, epochs, cycles, steps
        self.archive = folder / "clips.npz"

    def call(self, title: str, room: str | None, script: str, *words: object) -> None:
        """Run a script, in the folder of a room; LabError if it fails (it has told why)."""
        place = registry.ROOT if room is None else registry.find(room).path
        if not (place / script).is_file():
            raise UsageError(f"there is no {place / script}; the demo needs the whole repository")
        argv = [sys.executable, script, *map(str, words)]
        print(f"\n== {title}\n{shlex.join(['cd', str(place)])} && {shlex.join(['python', *argv[1:]])}", flush=True)
        code = subprocess.run(argv, cwd=place).returncode
        if code:
            raise LabError(f"{title}: {script} ended with exit code {code}; the same command goes on from there")

    def records(self) -> None:
        if not self.archive.is_file():
            print(f"\n== Synthetic archive {self.archive}", flush=True)
            sizes = {"train": self.clips, "test": self.clips // 2, "frames": 100, "resample": FRAMES}
            archive.write(self.archive, classes=22, **sizes)

    def backbone(self, phase: str) -> None:
        """Hyper-GCN on the seen classes; for validation some subjects are held out, on whom the gate is trained."""
        work = self.folder / f"hypergcn_{phase}"
        common = f"data_path={str(self.archive)!r},window_size={FRAMES}"
        words = [
            "--config", "config/base/nturgbd-cross-subject/hyper_joint.yaml", "--work-dir", work,
            "--train-feeder-args", f"{common},p_interval=[0.9,1],random_rot=False", "--test-feeder-args", common,
            "--classes", f"ntu{NTU}_{NTU - SS}_{SS}:{SIDES[phase]}", "--num-epoch", self.epochs,
            "--step", max(self.epochs * 3 // 4, 1), "--warm_up_epoch", min(self.epochs - 1, 1), "--batch-size", 16,
            "--save_epoch", self.epochs - 1, "--device", "cpu", "--num-worker", 0,
        ]  # fmt: skip
        words += ["--val-split", "subjects", "--val-share", 0.2] if phase == "val" else []
        words += ["--resume"] if (work / LAST).is_file() else []
        self.call(f"Hyper-GCN on the classes {SIDES[phase]}", "Hyper-GCN", "main.py", *words)

    def features(self, phase: str) -> None:
        work = self.folder / f"hypergcn_{phase}"
        weights = next(work.glob(f"runs-{self.epochs}-*.pt"), None)
        if weights is None:
            raise LabError(f"{work}: there are no weights runs-{self.epochs}-*.pt, though the training is done; remove "
                           "the folder, and they are trained again")  # fmt: skip
        self.call(
            f"Features of phase {phase}", None, "dataset_tools/extract_features.py", "--room", "Hyper-GCN", "--config",
            work / "config.yaml", "--weights", weights, "--archive", self.archive, "--ntu", NTU, "--ss", SS,
            "--phase", phase, "--out", self.folder / "sk_feats",
        )  # fmt: skip

    def texts(self) -> None:
        """The packaged features of the class texts as files; others that lie there are kept."""
        with np.load(TEXTS) as packaged:
            for name in packaged.files:
                path = self.folder / "text_feats" / LE / f"{name}.npy"
                if not path.is_file():
                    array = packaged[name]
                    write_atomically(path, lambda file, array=array: np.save(file, array))

    def common(self, phase: str) -> list[object]:
        suffix = "_val" if phase == "val" else ""
        return [
            "--ntu", NTU, "--ss", SS, "--st", "r", "--ve", "hypergcn", "--le", LE, "--tm", self.modes, "--phase", phase,
            "--dataset", self.folder / "sk_feats" / f"hypergcn{suffix}_{SS}_r", "--wdir", self.work(phase),
        ]  # fmt: skip

    def work(self, phase: str) -> Path:
        return self.folder / self.method / f"{SS}_r{'_val' if phase == 'val' else ''}"

    def align(self, phase: str) -> None:
        self.call(
            f"{self.method}, phase {phase}", self.method, "train.py", *self.common(phase), "--num_cycles", self.cycles,
            "--num_epoch_per_cycle", self.steps, "--latent_size", 100, "--mode", "train", "--gpu", "-1", "--resume",
            "--text_feats", self.folder / "text_feats", "--select", self.select, "--seeds", *self.seeds,
        )  # fmt: skip

    def gate(self) -> None:
        several = ["--seeds", *self.seeds]
        self.call("Gate", self.method, "gating_train.py", *self.common("val"), "--th", 50, "--t", 2, *several)
        self.call(
            "Seen or unseen", self.method, "gating_eval.py", *self.common("train"), "--text_feats",
            self.folder / "text_feats", *several,
        )  # fmt: skip

    def run(self) -> int:
        self.check()
        self.records()
        for phase in SIDES:
            self.backbone(phase)
            self.features(phase)
        self.texts()
        for phase in ("val", "train") if self.select == VAL else SIDES:
            self.align(phase)
        self.gate()
        result = results_folder(self.work("train"), LE, self.modes)
        told = load_json(result / SEEDS)
        page = report.write(result)
        save_json(self.folder / f"{self.method}.json", {
            **told["mean"], "sd": told["sd"], "chance": 1 / SS, "page": str(page.relative_to(self.folder)),
            **{key: told[key] for key in ("seeds", "select", "selected_on", "runs", "baselines")},
        })  # fmt: skip
        print(f"\n{self.method} on the synthetic archive, {NTU - SS} seen and {SS} unseen classes, in percent; chance "
              f"for unseen classes alone is {100 / SS:.1f}")  # fmt: skip
        print(f"measured: {WORDS[told['selected_on']]} (--select {self.select})")
        print(f"\n{seeds.table(told)}\n\nIts page: {page}")
        return 0

    def check(self) -> None:
        """Refuse to mix runs with other settings in one folder."""
        path, now = self.folder / "settings.json", {"clips": self.clips, "epochs": self.epochs}
        if path.is_file() and load_json(path) != now:
            raise UsageError(f"{path}: the folder was made with {json.dumps(load_json(path))}; choose another --out")
        try:
            save_json(path, now)
        except OSError as error:
            raise UsageError(f"--out {self.folder}: cannot be written ({error.strerror or error})") from None


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="zero_shot_demo.py", description="From a synthetic archive to the accuracy on unseen classes.")
    add = parser.add_argument
    add("--out", type=Path, default=Path("demo/zero_shot"), help="folder for everything (default: %(default)s)")
    add("--method", choices=tuple(METHODS), default="fsvae", help="default: %(default)s")
    add("--tm", default="lb_ad_md", help="texts: lb, ad, md joined by _ (default: %(default)s)")
    add("--clips", type=int, default=660, help="for training; half as many for the test (default: %(default)s)")
    add("--epochs", type=int, default=6, help="of the two backbones (default: %(default)s)")
    add("--cycles", type=int, default=3, help="of the alignment (default: %(default)s)")
    add("--steps", type=int, default=1700, help="of a cycle (default: %(default)s, as published)")
    add("--select", choices=CHOICES, default=LAST_CYCLE, help=HELP.replace(f"default: {BEST}", "default: last"))
    seeds.add_flag(parser, "of alignment and classifier (default: 5 6 7)")
    flags = parser.parse_args(argv)

    def program() -> int:
        least = {"clips": 200, "epochs": 1, "cycles": 1, "steps": 1}
        for name, number in least.items():
            if getattr(flags, name) < number:
                raise UsageError(f"--{name} must be at least {number}, not {getattr(flags, name)}")
        sizes = (getattr(flags, name) for name in least)
        several = flags.seeds or SEEDS_GIVEN
        return Demo(flags.out.absolute(), flags.method, flags.tm, *sizes, flags.select, several).run()

    return guarded(program)
