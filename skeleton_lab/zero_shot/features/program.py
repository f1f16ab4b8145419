"""``dataset_tools/extract_features.py``: checkpoint, configuration, archive and split to a folder of ``sk_feats``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab import registry
from skeleton_lab.data.archives import class_splits
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser


def _parser() -> Parser:
    parser = Parser(
        description="Features and logits of a supervised room, trained on the seen classes of a split (main.py "
        "--classes ntu60_55_5:seen; for --phase val ntu60_55_5:val_seen), for FS-VAE and MSF-GZSSAR.",
    )
    add = parser.add_argument
    add("--room", required=True, help="folder of the room: CTR-GCN, ST-GCN ...")
    add("--config", type=Path, required=True, help="YAML file of the training; best config.yaml of its work dir, "
        "which also tells the classes")  # fmt: skip
    add("--weights", type=Path, required=True, help="weights file of that training")
    add("--archive", type=Path, required=True, help="NPZ or any other archive the lab reads")
    add("--label-path", type=Path, help="labels of a .npy archive; default: the published name")
    add("--layout", help="of the archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--ntu", type=int, default=60, help="number of classes, 60 or 120 (default: 60)")
    add("--ss", type=int, default=5, help="number of unseen classes (default: 5)")
    add("--st", default="r", help="kind of split (default: r, random)")
    add("--phase", choices=("train", "val"), default="train", help="val: for the gate, without the unseen classes")
    add("--ve", help="name of the features in the folder's name (default: the room's, as in ctrgcn_5_r)")
    add("--out", type=Path, default=Path("sk_feats"), help="where the folder is made (default: sk_feats)")
    add("--held-out", type=int, default=40, help="--phase val: training clips of each class for val.npy, unless the "
        "training itself held out subjects (default: 40)")  # fmt: skip
    add("--seed", type=int, default=0, help="which clips are held out (default: 0)")
    add("--allow-leak", action="store_true", help="also with weights whose training saw the unseen classes")
    add("--device", default="cpu", help="cpu, 0, cuda:0 (default: cpu)")
    add("--trust-code", action="store_true", help=trust.HELP)
    return parser


def run(options: argparse.Namespace) -> int:
    """Extract, and say what was made.

    Raises:
        LabError: what the user has to put right.
    """
    this = registry.find(options.room)
    if this.program is None:
        raise UsageError(f"--room {options.room}: trains no backbone; choose one of the supervised rooms")
    if options.held_out < 1:
        raise UsageError(f"--held-out {options.held_out}: at least one clip of each class is needed")
    split = class_splits.load(options.st, options.ss, options.ntu, options.phase)
    for flag in ("config", "weights", "archive"):
        path = getattr(options, flag)
        if not path.exists():
            raise UsageError(f"--{flag} {path}: there is no such file")
    from skeleton_lab.zero_shot.features.extract import Order, extract, folder_name  # here: they need PyTorch

    folder = options.out / folder_name(options.ve or this.image, options.ss, options.st, options.phase)
    order = Order(
        options.archive.absolute(), split, options.phase, options.label_path, options.held_out, options.seed,
        options.allow_leak, options.layout,
    )  # fmt: skip
    from skeleton_lab.inference.network import Network

    with registry.room(options.room), trust.trusting(options.trust_code):
        network = Network(this.recipe, this.path, options.config, options.weights, options.device)
        for notice in network.notices:
            print(notice)
        shapes = extract(network, order, folder)
    for name, shape in shapes.items():
        print(f"{folder / name}.npy: {' x '.join(map(str, shape))}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return guarded(lambda: run(_parser().parse_args(argv)))
