"""What the programs of both rooms share: their flags, and lines for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.data.archives import class_splits
from skeleton_lab.utils.cli import Parser


def say(text: str) -> None:
    """A line for people; scripts read standard output."""
    print(text, file=sys.stderr, flush=True)


def common(program: str, *, needed: Sequence[str]) -> Parser:
    """A parser with the flags that all programs share."""
    parser = Parser(description=program)

    def flag(name: str, kind: type, text: str, default=None) -> None:
        parser.add_argument(f"--{name}", type=kind, required=name in needed, default=default, help=text)

    flag("ntu", int, "classes in all: 60 or 120")
    flag("ss", int, "unseen classes: 5 or 12 of 60, 10 or 24 of 120")
    flag("st", str, "split type: r, random (default: r)", "r")
    flag("dataset", Path, "folder of skeleton features, such as sk_feats/shift_5_r/")
    flag("wdir", Path, "work dir; files go to <wdir>/<le>/<tm>/")
    flag("le", str, "folder of the text encoder: ViT-B/32 or ViT-B/16")
    flag("ve", str, "name of the visual features; no effect")
    parser.add_argument("--phase", choices=("train", "val"), default="train",
                        help="val: the validation split, on which the gate is trained (default: train)")  # fmt: skip
    flag("tm", str, "text mode: names of text features joined by _, such as lb_ad_md")
    parser.add_argument("--label_splits", type=Path, default=class_splits.FOLDER, metavar="FOLDER",
                        help="lists of classes that go before the published ones (default: %(default)s)")  # fmt: skip
    return parser
