"""``python -m skeleton_lab.inference.keypoints``: the maps as text, or as pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.skeletons import joint_maps
from skeleton_lab.skeletons.schemes import SCHEMES
from skeleton_lab.utils.cli import Parser


def run(argv: Sequence[str] | None) -> None:
    """Raises ``UsageError`` where a picture cannot be written."""
    parser = Parser(
        prog="python -m skeleton_lab.inference.keypoints", description="How joints are made from key points."
    )
    parser.add_argument("source", nargs="?", choices=tuple(joint_maps.TO_NTU), help="print the rules of this one")
    parser.add_argument("--target", choices=joint_maps.TARGETS, default="ntu25", help="default: ntu25")
    parser.add_argument(
        "--picture", nargs="?", type=Path, const=Path("docs/images"), metavar="FOLDER",
        help="write keypoints-*.png of all maps; default folder: docs/images",
    )  # fmt: skip
    options = parser.parse_args(argv)
    if options.picture is not None:
        from skeleton_lab.inference.keypoints import joint_map_figure

        try:
            for path in joint_map_figure.write_all(options.picture):
                print(path)
        except OSError as error:
            raise UsageError(f"--picture {options.picture} cannot be written: {error.strerror or error}") from error
        return
    if options.source is None:
        for scheme in SCHEMES.values():
            print(f"{scheme.name:12} {scheme.V:2d} joints  {scheme.title}: {' '.join(scheme.joints)}")
        return
    for k, (name, words) in enumerate(joint_maps.described(SCHEMES[options.source], SCHEMES[options.target])):
        print(f"{k:2d} {name:16} = {words}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
