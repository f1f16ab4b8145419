"""``gen_text_feat.py``: class texts to ``<save_dir>/<arch>/<mode>_<n>.npy``; files that are there are kept."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.file_digests import whole
from skeleton_lab.zero_shot.text import class_descriptors
from skeleton_lab.zero_shot.text.sources import COUNTS, MODES, texts

NOTES = "made_from.json"  # beside the features
ARCHS = ("ViT-B/32", "ViT-B/16")


def target(save_dir: Path, arch: str, mode: str, ntu: int) -> Path:
    """Where the features of a mode lie."""
    return save_dir / arch / f"{mode}_{ntu}.npy"


def make_parser(ntu: int | None, arch: str) -> Parser:
    parser = Parser(description="CLIP features of the class texts; files that exist already are kept as they are.")
    parser.add_argument("--ntu", type=int, default=ntu, required=ntu is None, help="classes: 60 or 120")
    parser.add_argument("--arch", default=arch, help="ViT-B/32 or ViT-B/16 (default: %(default)s)")
    parser.add_argument("--save_dir", default="./text_feats", help="folder for <arch>/<text>_<n>.npy")
    parser.add_argument("--gpu", type=int, default=0, help="index of the GPU; without any the CPU is used")
    parser.add_argument("--weights", help="CLIP's file, or a state_dict (default: text_extractor/, $CLIP_WEIGHTS)")
    parser.add_argument("--bpe", help="bpe_simple_vocab_16e6.txt.gz (default: the one of open_clip_torch)")
    parser.add_argument("--sem_dir", default="./sem_info", help="folder of your own texts, <text>_<n>.csv")
    parser.add_argument("--descriptors", type=Path, help="no texts: one vector of each class, of an image network say, "
                        "as im_<n>.npy for --tm lb_im (docs/zero-shot.md)")  # fmt: skip
    return parser


def run(options: argparse.Namespace, room: Path) -> int:
    """Encode what is missing.

    Raises:
        LabError: texts, weights, merges or packages are missing or wrong.
    """
    if options.arch not in ARCHS:
        raise UsageError(f"--arch {options.arch} is not known; choose from {', '.join(ARCHS)}")
    if options.ntu not in COUNTS:
        raise UsageError(f"--ntu {options.ntu}: there are texts for 60 and 120 classes")
    save_dir = Path(options.save_dir)
    if options.descriptors is not None:
        made = target(save_dir, options.arch, class_descriptors.MODE, options.ntu)
        print(class_descriptors.write(options.descriptors, made, options.ntu, Path(options.sem_dir)))
        return 0
    missing = [mode for mode in MODES if not target(save_dir, options.arch, mode, options.ntu).is_file()]
    notes, rows = save_dir / options.arch / NOTES, {}
    known = _read(notes)
    for mode in MODES:
        name = f"{mode}_{options.ntu}"
        if mode in missing or name in known:
            rows[mode] = texts(mode, options.ntu, Path(options.sem_dir))
        if mode not in missing and name in known and known[name].get("texts") != _digest(rows[mode]):
            print(f"warning: {notes.with_name(name)}.npy was made of other texts than --sem_dir {options.sem_dir} "
                  "gives now, and is kept; remove it, and they are encoded", file=sys.stderr)  # fmt: skip
    if not missing:
        return 0
    print("Generating Text Feature ...", flush=True)
    encode, weights = _encoder(options, room)
    for name, made in known.items():
        if made.get("weights") != weights and notes.with_name(f"{name}.npy").is_file():
            raise UsageError(
                f"{notes.with_name(name)}.npy was made with other CLIP weights; texts of two encoders do not go "
                "together: give the --weights of then, another --save_dir, or remove that file"
            )
    for mode in missing:
        print(f"Processing {mode}_{options.ntu} ...", flush=True)
        path = target(save_dir, options.arch, mode, options.ntu)
        features = encode(rows[mode])
        known[path.stem] = {"weights": weights, "texts": _digest(rows[mode])}
        content = json.dumps(known, indent=1).encode()
        try:
            write_atomically(path, lambda file, array=features: np.save(file, array))
            write_atomically(notes, lambda file, content=content: file.write(content))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}); --save_dir names another folder") from None
    print("Finish generating!")
    return 0


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(notes: Path) -> dict[str, dict[str, str]]:
    """Of which weights and texts the files here were made, as far as this program made them."""
    try:
        told = json.loads(notes.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in told.items() if isinstance(value, dict)} if isinstance(told, dict) else {}


def _encoder(options: argparse.Namespace, room: Path) -> tuple[Any, str]:
    """Texts -> features, and the digest of the weights.

    Everything that encoding needs is imported here, so a run without work needs none of it.
    """
    from skeleton_lab.utils.devices import pick_device
    from skeleton_lab.zero_shot.text import weights
    from skeleton_lab.zero_shot.text.tokens import Tokenizer, find_merges, read_merges

    places = [folder for folder in weights.folders(room) if folder.is_dir()]
    tokenizer = Tokenizer(read_merges(find_merges(options.bpe, places)))
    path = weights.find(options.arch, room, options.weights)
    tower = weights.load_tower(path)
    device = pick_device(f"cuda:{options.gpu}" if options.gpu >= 0 else "cpu")
    return lambda lines: tower.encode(tokenizer(lines), device), whole(path)


def main(room_file: str, *, ntu: int | None, arch: str, argv: Sequence[str] | None = None) -> int:
    """The program of a room.

    Args:
        room_file: the room's script, whose folder may have a ``text_extractor``.
        ntu, arch: the room's defaults; ``ntu`` None makes the flag required.
    """

    def program() -> int:
        return run(make_parser(ntu, arch).parse_args(argv), Path(room_file).resolve().parent)

    return guarded(program)
