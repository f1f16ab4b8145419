"""``skeleton-lab skeletons``, also ``python -m skeleton_lab.reporting.skeletons``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.reporting.skeletons import words
from skeleton_lab.skeletons import layouts
from skeleton_lab.utils.atomic import check_output, write_atomically
from skeleton_lab.utils.cli import Parser

SUFFIXES = (".png", ".html")


def run(argv: Sequence[str] | None) -> None:
    """Raises ``UsageError`` for a skeleton that is not known or wrong, and where the output cannot be."""
    parser = Parser(description="The skeletons that the lab knows, and your own: tables and drawings.")
    parser.add_argument(
        "skeleton",
        nargs="?",
        metavar="NAME|FILE.yaml",
        help="one of them, or your own as YAML; default: a table of all",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="draw them: a .png, or a page .html; default: text")
    options = parser.parse_args(argv)
    one = layouts.layout(options.skeleton) if options.skeleton is not None else None
    if options.output is None:
        print("\n".join(words.of(one) if one is not None else words.table(layouts.known().values())))
        return
    suffix = options.output.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"--output {options.output}: give a name that ends in .png or .html")
    own = Path(options.skeleton) if one is not None and options.skeleton.endswith(layouts.OWN) else None
    check_output("--output", options.output, suffix, own)
    chosen = list(layouts.known().values()) if one is None else [one]
    if suffix == ".png":
        from skeleton_lab.reporting.skeletons import picture

        content = picture.draw(chosen)
    else:
        from skeleton_lab.reporting.skeletons import page

        content = page.html(chosen).encode()
    try:
        write_atomically(options.output, lambda file: file.write(content))
    except OSError as error:
        raise UsageError(f"--output {options.output} cannot be written: {error.strerror or error}") from error
    print(f"{options.output}: {one.name if one is not None else f'{len(chosen)} skeletons'}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
