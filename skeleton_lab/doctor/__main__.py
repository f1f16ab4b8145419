"""``python -m skeleton_lab.doctor FILE``, and the program behind ``dataset_tools/inspect_npz.py``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.data.archives.locate import default_archive, held
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import h5, npz
from skeleton_lab.doctor import descriptors
from skeleton_lab.doctor.examine import examine
from skeleton_lab.errors import FAILURE, ArchiveError, ArchiveNotFoundError, UsageError, guarded, listing
from skeleton_lab.utils.atomic import check_output, write_atomically
from skeleton_lab.utils.cli import Parser


def show_members(path: Path) -> int:
    """The lines of the documents: keys, shapes and types, by the headers alone."""
    start = b""
    if not path.is_dir():
        with parsing(path), open(path, "rb") as file:
            start = file.read(8)
    if not start.startswith((npz.MAGIC, h5.MAGIC)):
        raise ArchiveError(f"{path} is no NPZ or HDF5 file; --doctor looks at every layout")
    file = npz.Npz(path) if start.startswith(npz.MAGIC) else h5.H5(path)
    print(f"Loaded {path.name}")
    print(f"Keys: {file.keys()}")
    print()
    for key in file.keys():  # noqa: SIM118  (not a dict)
        array = file.array(key)
        print(f"{listing([key])}: shape={array.shape}, dtype={array.dtype}")
    return 0


def parser(doctor: bool) -> Parser:
    made = Parser(
        description="What is in an archive of skeleton clips"
        + ("" if doctor else "; with --doctor, --json or --picture also what is wrong with it")
        + ". Exit code 1: something is wrong.",
    )
    add = made.add_argument
    add("file", nargs="?", type=Path, help="archive; default: where the documents put NTU60_CS.npz")
    add("--path", type=Path, metavar="FILE", help="the same as the positional argument")
    if not doctor:
        add("--doctor", action="store_true", help="read everything and look for faults")
    add("--json", type=Path, metavar="FILE", help="write the diagnosis as JSON; - for standard output")
    add("--picture", type=Path, metavar="FILE", help="write it as a PNG")
    add("--expect", metavar="NAME", help="the published file that it should be: NTU60_CS, NTU60_CV, NTU120_CSub, "
        "NTU120_CSet; default: by its name")  # fmt: skip
    add("--label-path", type=Path, metavar="FILE", help="labels of a .npy file or of a folder of Kinetics clips; "
        "default: the published name beside it")  # fmt: skip
    add("--layout", help="where the content does not tell: pyskl:xsub ...")
    add("--descriptors", type=Path, metavar="PATH", help="descriptors beside the archive, to be examined too "
        "(docs/multimodal.md)")  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar")
    return made


def found(options: argparse.Namespace) -> Path:
    path = options.path or options.file
    if path is None:
        return default_archive()
    if not path.exists():
        raise ArchiveNotFoundError(f"there is no file {path} (looked for {path.absolute()})")
    return held(path)


def run(options: argparse.Namespace, doctor: bool) -> int:
    path = found(options)
    if not doctor:
        return show_members(path)
    to_screen = str(options.json) == "-"
    if options.json is not None and not to_screen:
        check_output("--json", options.json, ".json", path, options.label_path)
    if options.picture is not None:
        check_output("--picture", options.picture, ".png", path, options.label_path)
    diagnosis = examine(
        path, expect=options.expect, label_path=options.label_path, layout=options.layout, show=not options.quiet
    )
    if options.descriptors is not None:
        descriptors.examine(
            options.descriptors, path, diagnosis, label_path=options.label_path, layout=options.layout,
            show=not options.quiet,
        )  # fmt: skip
    text = json.dumps(diagnosis.as_json(), indent=1)
    print(text if to_screen else diagnosis.text())
    try:
        if options.json is not None and not to_screen:
            write_atomically(options.json, lambda file: file.write(text.encode() + b"\n"))
        if options.picture is not None:
            from skeleton_lab.doctor.picture import draw

            draw(diagnosis, options.picture)
    except OSError as error:
        flags = " ".join(f"--{name} {value}" for name in ("json", "picture") if (value := getattr(options, name)))
        raise UsageError(f"{flags}: cannot be written ({error.strerror or error})") from error
    return 0 if diagnosis.sound else FAILURE


def main(argv: Sequence[str] | None = None, doctor: bool = True) -> int:
    """The command line; ``doctor=False``: the headers alone, unless a flag asks for more."""
    options = parser(doctor).parse_args(argv)
    asked = doctor or options.doctor or options.json or options.picture or options.expect or options.descriptors
    return guarded(lambda: run(options, bool(asked)))


if __name__ == "__main__":
    sys.exit(main())
