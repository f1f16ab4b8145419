"""Flags that the programs share."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.inference import flags
from skeleton_lab.utils.cli import Parser


def of_a_network(parser: Parser) -> None:
    """The flags that say whose features are taken, and of which archive."""
    flags.of_a_network(parser)
    add = parser.add_argument
    add("--archive", type=Path, required=True, help="any archive that the lab reads, with both splits")
    add("--layout", help="of the archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--device", default="cpu", help="cpu, 0, cuda:0 (default: cpu)")
