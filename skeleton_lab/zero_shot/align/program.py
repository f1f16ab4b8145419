"""The programs of both rooms: train.py, gating_train.py, gating_eval.py, log.py, with the published flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from skeleton_lab.data.archives import class_splits
from skeleton_lab.errors import USAGE, LabError, UsageError, guarded
from skeleton_lab.utils.cli import Parser
from skeleton_lab.zero_shot.align import baselines, seeds, selection
from skeleton_lab.zero_shot.align.loss_weights import aligned_from
from skeleton_lab.zero_shot.align.settings import METRICS, Settings, check_writable, results_folder, stage_two
from skeleton_lab.zero_shot.features import feature_folder
from skeleton_lab.zero_shot.flags import common, say
from skeleton_lab.zero_shot.model.objective import Objective

FSVAE_FLAGS = ("alpha", "lmd", "use_cr_fact", "version")
ALPHA = {60: 0.5, 120: 0.1}
SEED = 5


def train(variant: str, argv: Sequence[str] | None = None) -> int:
    """``train.py``: stages 1 and 2."""
    return guarded(lambda: _all_seeds(variant, _train_flags(variant).parse_args(argv)))


def _train_flags(variant: str) -> Parser:
    needed = ("ntu", "ss", "tm", "le", "dataset", "wdir")
    parser = common("Align skeleton and text features of seen classes, test on unseen ones.", needed=needed)
    add = parser.add_argument
    add("--gpu", "--device", default="0", help="index of the GPU, or cpu (default: 0; the CPU where there is none)")
    add("--num_cycles", type=int, required=True, help="cycles (published: 10)")
    add("--num_epoch_per_cycle", type=int, required=True, help="steps of a cycle (published: 1700, NTU-120 1900)")
    add("--latent_size", type=int, required=True, help="latent size (published: 100, NTU-120 200)")
    add("--mode", choices=("train", "eval"), default="train", help="eval: test --load_epoch (default: train)")
    add("--load_epoch", type=int, help="begin behind this saved epoch")
    add("--load_classifier", action="store_true", help="in mode eval: load the classifier instead of training one")
    about = "FS-VAE's" if variant == "fsvae" else "of FS-VAE, ignored here:"
    add("--alpha", type=float, help=f"{about} weight of the calibrated loss (default: 0.5, NTU-120 0.1)")
    add("--lmd", type=float, help=f"{about} width of the calibrated loss (default: 100 if none of the three is given)")
    add("--use_cr_fact", type=int, help=f"{about} 1: calibrate late in a cycle only (default as --lmd: 1, else 0)")
    add("--version", help=f"{about} name, without effect")
    add("--seed", type=int, help=f"of everything random (default: {SEED}, as published)")
    seeds.add_flag(parser, "one run per seed, in <wdir>/seed_<SEED>/, and their mean and spread; in mode eval: one "
                   "classifier per seed for the networks of --load_epoch")  # fmt: skip
    add("--select", choices=selection.CHOICES, default=selection.BEST, help=selection.HELP)
    add("--published-rng", action="store_true", help="draw in the published order, to repeat a published run")
    add("--resume", action="store_true", help="go on behind the last whole cycle of an interrupted run")
    add("--allow-leak", action="store_true", help="train though unseen classes are among the training sequences")
    add("--memory", metavar="auto|GIB", help="no effect: aligning features takes less than 1 GiB, nothing is chosen")
    add("--text_feats", type=Path, default=Path("text_feats"), help="folder of text features (default: %(default)s)")
    return parser


def objective_of(variant: str, flags: argparse.Namespace) -> Objective:
    """α, λ and use_cr_fact: as in the published scripts if none is given, else the published defaults of the rest."""
    given = [name for name in FSVAE_FLAGS if getattr(flags, name) is not None]
    if variant == "msf":
        if given:
            say(f"warning: --{', --'.join(given)}: settings of FS-VAE, ignored by MSF-GZSSAR")
        return Objective("msf")
    untouched = not set(given) - {"version"}
    alpha = flags.alpha if flags.alpha is not None else ALPHA.get(flags.ntu, 0.5)
    lmd = flags.lmd if flags.lmd is not None else (100.0 if untouched else 1.0)
    if not lmd > 0:
        raise UsageError(f"--lmd must be above 0, not {lmd}")
    late = flags.use_cr_fact if flags.use_cr_fact is not None else int(untouched)
    if late not in (0, 1):
        raise UsageError(f"--use_cr_fact is 0 or 1, not {late}")
    return Objective("fsvae", alpha, lmd, bool(late))


def _settings(variant: str, flags: argparse.Namespace) -> Settings:
    for name in ("ntu", "ss", "num_cycles", "num_epoch_per_cycle", "latent_size"):
        if getattr(flags, name) < 1:
            raise UsageError(f"--{name} must be at least 1, not {getattr(flags, name)}")
    return Settings(
        objective_of(variant, flags), flags.ntu, flags.ss, flags.st, flags.phase,
        flags.tm, flags.le, flags.latent_size, flags.num_epoch_per_cycle, SEED if flags.seed is None else flags.seed,
        flags.published_rng, flags.select,
    )  # fmt: skip


def _all_seeds(variant: str, flags: argparse.Namespace) -> int:
    """One run, or one per seed and a summary."""
    if flags.seeds is None:
        return _train(variant, flags)
    if flags.seed is not None:
        raise UsageError("--seed is of one run, --seeds of several; give one of the two")
    seeds.check(flags.seeds)
    if flags.mode == "eval" and flags.load_epoch is not None:
        return _classifiers(variant, flags)
    if (code := seeds.each(flags, lambda one: _train(variant, one), say)) == 0 and flags.phase == "train":
        _put_away(results_folder(flags.wdir, flags.le, flags.tm))
        print(seeds.table(seeds.summarise(flags.wdir, flags.le, flags.tm, flags.seeds)), flush=True)
    return code


def _put_away(folder: Path) -> None:
    """A run of one seed leaves the folder where the summary of several goes."""
    from skeleton_lab.zero_shot.align import checkpoint

    if (folder / METRICS).is_file() and (moved := checkpoint.move_earlier(folder)) is not None:
        say(f"{folder} held the run of one seed; its files are in {moved} now")


def _classifiers(variant: str, flags: argparse.Namespace) -> int:
    """``--mode eval --seeds``: the spread of the classifier alone, on one saved alignment."""
    if flags.load_classifier:
        raise UsageError("--load_classifier loads the one that is saved; --seeds trains one per seed: leave one out")
    found: list[float] = []
    for seed in flags.seeds:
        one = argparse.Namespace(**{**vars(flags), "seed": seed, "seeds": None})
        if code := _train(variant, one, found.append):
            return code
    told = seeds.written(*seeds.spread(found), 2)
    print(f"mean of {len(found)} classifiers  {told} %", flush=True)
    return 0


def _train(variant: str, flags: argparse.Namespace, note: Callable[[float], None] = lambda accuracy: None) -> int:
    settings = _settings(variant, flags)
    if flags.memory is not None:
        say(f"--memory {flags.memory}: no effect, aligning features takes less than 1 GiB: there is nothing to choose")
    if flags.mode == "eval" and flags.load_epoch is None:
        print("Mention Epoch to Load")
        return USAGE
    if flags.resume and (flags.load_epoch is not None or flags.mode == "eval"):
        raise UsageError("--resume goes on behind the last cycle; it does not go with --load_epoch or --mode eval")
    split = class_splits.load(flags.st, flags.ss, flags.ntu, settings.phase, flags.label_splits)
    found = feature_folder.read(flags.dataset, settings.phase, split, allow_leak=flags.allow_leak)
    table = feature_folder.class_table(flags.tm, flags.le, flags.ntu, flags.text_feats)
    validated = None
    if flags.mode == "train":
        twin = results_folder(stage_two(flags.wdir), flags.le, flags.tm)
        validated = selection.validated_cycle(twin, settings, flags.num_cycles)
    folder = check_writable(results_folder(flags.wdir, flags.le, flags.tm))

    from skeleton_lab.utils.devices import pick_device  # here: torch takes seconds, and mistakes are told without it
    from skeleton_lab.zero_shot.align.trainer import Trainer
    from skeleton_lab.zero_shot.features.ownership import writing

    device = pick_device(flags.gpu if not flags.gpu.lstrip("-").isdigit() else _cuda(int(flags.gpu)))
    print(f"Train on {len(found.train.labels)} samples, validate on {len(found.second.labels)} samples")
    print("language embeddings loaded.", flush=True)
    for warning in found.warnings:
        say(f"warning: {warning}")
    if flags.mode == "eval":
        return _evaluate(Trainer(settings, split, found, table, folder, device), flags, note)
    compared = baselines.compute(flags.dataset, found, table, split) if settings.phase == "train" else {}
    trainer = Trainer(settings, split, found, table, folder, device, validated, compared)
    with writing(folder):
        _start(trainer, flags)
        trainer.run(flags.num_cycles)
    _summary(trainer)
    return 0


def _cuda(index: int) -> str:
    return "cpu" if index < 0 else f"cuda:{index}"


def _start(trainer, flags: argparse.Namespace) -> None:
    """Warn, and restore what is to be restored, or put away what an earlier run left."""
    from skeleton_lab.zero_shot.align import checkpoint

    length = flags.num_epoch_per_cycle
    late = trainer.settings.objective.variant == "msf" or trainer.settings.objective.use_cr_fact
    if late and length <= aligned_from(length) + 1:
        say(f"warning: cycles of {length} steps never align skeletons and texts; that begins behind step "
            f"{aligned_from(length)} (published lengths: 1700, 1900)")  # fmt: skip
    if flags.load_classifier:
        say("warning: --load_classifier: has an effect in --mode eval only")
    if flags.load_epoch is not None:
        for lost in trainer.load_epoch(flags.load_epoch):
            say(f"warning: --load_epoch {flags.load_epoch}: {lost}")
        trainer.done = (flags.load_epoch + 1) // length
    elif flags.resume:
        if trainer.resume():
            say(f"going on behind cycle {trainer.done - 1}")
        else:
            say("--resume: no cycle was finished here, starting with the first")
    else:
        if (moved := checkpoint.move_earlier(trainer.folder)) is not None:
            say(f"{trainer.folder} held a run; its files are in {moved} now")
        trainer.write_metrics(finished=False)


def _evaluate(trainer, flags: argparse.Namespace, note: Callable[[float], None]) -> int:
    from skeleton_lab.zero_shot.align import checkpoint, classifier

    for lost in trainer.load_epoch(flags.load_epoch):
        if "Adam" not in lost:
            say(f"warning: --load_epoch {flags.load_epoch}: {lost}")
    if flags.load_classifier:
        net, known = checkpoint.load_classifier(trainer.folder, flags.latent_size, flags.ss, flags.load_epoch)
        net.to(trainer.device)
        if not known:
            say("warning: --load_classifier: the file does not tell behind which epoch it was trained")
    else:
        net = classifier.fit(trainer.networks["te"], trainer.data.unseen_texts)
    accuracy = trainer.score(net).accuracy
    note(accuracy)
    print(f"zsl accuracy  {accuracy}")
    return 0


def _summary(trainer) -> None:
    best, last, chosen = trainer.best, trainer.history[-1] if trainer.history else None, trainer.chosen
    if best is None or last is None or chosen is None:
        say("no cycle was trained" if last is None else f"cycle {trainer.validated} was not trained; nothing is saved")
        return
    if trainer.settings.select != selection.BEST:
        say(f"saved: cycle {chosen['cycle']}, zsl accuracy {100 * chosen['zsl_accuracy']:.2f}% "
            f"(--select {trainer.settings.select})")  # fmt: skip
    on = "test sequences" if trainer.settings.phase == "train" else "validation sequences"
    say(
        f"best cycle {best['cycle']}: zsl accuracy {100 * best['zsl_accuracy']:.2f}%, picked by the {on} "
        f"themselves (the published protocol); last cycle {last['cycle']}: {100 * last['zsl_accuracy']:.2f}%"
    )
    if trainer.baselines:
        rows = {name: {"zsl_accuracy": made.accuracy(trainer.features)} for name, made in trainer.baselines.items()}
        say(f"on the same sequences without alignment: {baselines.notice(rows)}")


def log(argv: Sequence[str] | None = None) -> int:
    """``log.py``: append the figures of an experiment to ``log/ntu<n>-B<..>-ls<..>-nepc<..>.txt``."""
    parser = Parser(description="Append the figures of an experiment to a file in log/.")
    for name in ("name", "ntu", "ss", "tm", "za", "ua", "sa", "hm", "le", "ls", "nepc"):
        kind = int if name in ("ntu", "ss") else str
        parser.add_argument(
            f"--{name}", type=kind, required=name != "name", help="no effect" if name == "name" else None
        )
    flags = parser.parse_args(argv)
    path = Path("log") / f"ntu{flags.ntu}-B{flags.le.split('/')[-1]}-ls{flags.ls}-nepc{flags.nepc}.txt"
    line = (
        f"zsl_acc: {flags.za}, seen_acc: {flags.sa}, unseen_acc: {flags.ua}, h_mean: {flags.hm},"
        f"    in {flags.ntu}u{flags.ss}-{flags.tm}\n"
    )

    def append() -> int:
        try:
            path.parent.mkdir(exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise LabError(f"{path} cannot be written to ({error.strerror or error})") from error
        return 0

    return guarded(append)
