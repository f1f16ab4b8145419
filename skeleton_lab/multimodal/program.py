"""``skeleton-lab multimodal ROOM --weights W --data X --descriptors P``: what descriptors add to a skeleton."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.inference import flags
from skeleton_lab.utils import results
from skeleton_lab.utils.cli import Defaults, Parser, check_sizes

SETTINGS, FEATURES, PARTS = "settings.json", "features.npz", "parts"  # in the work dir
RESULT = "multimodal"
LEARNED = "learned_from"  # a setting that the archives on this machine make
NOT_SETTINGS = (  # what may change when a table is gone on with; of files the content counts, not the place
    "seeds", "device", "work_dir", "trust_code", "tune", "weights", "config", "data", "descriptors",
)  # fmt: skip


def _parser() -> Parser:
    parser = Parser(
        description="One table of what descriptors of images, beside an archive, add to a trained network: the "
        "skeleton alone (S), descriptors alone (I), late fusion (L), gated fusion (F), co-learning (K), and controls: "
        "descriptors shuffled, missing, of the first frame. The network stays as it is unless --tune is given.",
        formatter_class=Defaults,
    )
    flags.of_a_network(parser)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="PATH", help="any archive that the lab reads, with both splits")
    add("--layout", help="of the archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--descriptors", type=Path, required=True, metavar="PATH", help="folder of NAME.npy, packed .npz, or one .npy "
        "in the order of the rows (docs/multimodal.md)")  # fmt: skip
    add("--work-dir", type=Path, required=True, metavar="DIR", help="for everything that is written; a table that was "
        "interrupted goes on there")  # fmt: skip
    add("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="of heads and controls (default: 1 2 3)")
    add("--observe", type=float, default=1.0, metavar="P", help="share of each clip that is seen, skeleton and "
        "descriptors alike")  # fmt: skip
    add("--epochs", type=int, default=60, metavar="N", help="of the heads")
    add("--batch-size", type=int, default=32, metavar="N", help="of a training step")
    add("--lr", type=float, default=0.003, metavar="X", help="learning rate of the heads (AdamW)")
    add("--hidden", type=int, default=256, metavar="N", help="units of hidden layers and of the gate")
    add("--drop", type=float, default=0.3, metavar="P", help="modality dropout: share of the clips that F trains "
        "without their descriptor")  # fmt: skip
    add("--tune", action="store_true", help="also F, K and S with the network trained along, by its own feeder: slow")
    add("--tune-epochs", type=int, default=10, metavar="N", help="of that training")
    add("--tune-lr", type=float, default=0.0001, metavar="X", help="learning rate of the network in it")
    add("--device", default="cpu", help="cpu, 0, cuda:0")
    return parser


def _check(options: argparse.Namespace) -> None:
    check_sizes(options, "epochs", "batch_size", "hidden", "tune_epochs")
    if not 0 < options.observe <= 1:
        raise UsageError(f"--observe {options.observe:g} must be above 0 and at most 1")
    if not 0 <= options.drop <= 1:
        raise UsageError(f"--drop {options.drop:g} must lie between 0 and 1")
    for flag in ("lr", "tune_lr"):
        if not 0 < getattr(options, flag) < 10:
            raise UsageError(f"--{flag.replace('_', '-')} {getattr(options, flag):g} must be above 0 and below 10")
    if len(set(options.seeds)) < len(options.seeds) or not all(0 <= seed < 2**31 for seed in options.seeds):
        raise UsageError("--seeds: different whole numbers of 0 or more")
    if not options.weights.is_file():
        raise UsageError(f"--weights {options.weights}: there is no such file")
    if options.work_dir.exists() and not options.work_dir.is_dir():
        raise UsageError(f"--work-dir {options.work_dir} is a file; give a folder")


def run(options: argparse.Namespace) -> int:
    """Measure, write and say.

    Raises:
        LabError: what the user has to put right.
    """
    _check(options)
    from skeleton_lab.inference import opening  # here: --help and mistakes need no PyTorch
    from skeleton_lab.multimodal import clips, cost, files, table, units
    from skeleton_lab.utils.progress import clip_bar

    parts, found = clips.found_beside(options)
    folder = options.work_dir
    content = {"data_digest": clips.digest_of(options.data, parts), "descriptors_digest": found.digest()}
    with opening.opened(options) as network:
        _same_settings(folder, {**_settings(options, network), **content})
        task = clips.task_of(network, options, parts, found, folder / FEATURES)
        _same_settings(folder, {LEARNED: task.learned_from})
        chosen = units.units(task, options)
        total = len(options.seeds) * sum(unit.epochs(options) for unit in chosen)
        with clip_bar(total, "training heads", unit=" epochs") as bar:
            runner = units.Runner(task, network, options, folder / PARTS, bar.update)
            made = table.made(task, options, runner)
        spent = cost.measured(network, task, options)
    notices = files.notices(task, made, options)
    files.write(folder, task, made, spent, notices, options)
    print("\n".join([*table.lines(made), *notices]))
    print(f"written to {folder}: {RESULT}.json, {RESULT}.csv, {RESULT}.html")
    return 0


def _settings(options: argparse.Namespace, network: Any) -> dict[str, Any]:
    """What results depend on, as text and numbers."""
    from skeleton_lab.inference.calibrated import digest

    settings = {
        key: value for key, value in vars(options).items()
        if key not in NOT_SETTINGS and (options.tune or not key.startswith("tune_"))
    }  # fmt: skip
    return {**settings, "weights_digest": digest(options.weights), "config_digest": digest(network.config)}


def _same_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Keep the settings of a table and of rows that come later; UsageError where the folder holds one of others."""
    path = folder / SETTINGS
    before: dict[str, Any] = {}
    depends = [name for name in (FEATURES, PARTS) if (folder / name).exists()]  # else a start failed before
    if depends and not path.exists():
        raise UsageError(f"--work-dir {folder} has {depends[0]} and no {SETTINGS} to say of what; give another folder")
    if depends:
        try:
            before = {**json.loads(path.read_text("utf-8"))}
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path}: is damaged ({error}); remove the folder, or give another --work-dir") from None
        for key, value in settings.items():
            if before.get(key, value) != value:
                told = f"{key}: {before[key]} there, {value} here"
                if key == LEARNED:
                    told = "heads learned from other clips: what the network was trained on is gone, or another now"
                if key.endswith("_digest"):
                    told = f"--{key.removesuffix('_digest')}: another content there than here"
                raise UsageError(f"--work-dir {folder} holds a table of other settings ({told}); give another folder")
    if not settings.keys() <= before.keys():
        results.write_json(path, {**before, **settings})


def main(argv: Sequence[str] | None = None) -> int:
    return guarded(lambda: run(_parser().parse_args(argv)))
