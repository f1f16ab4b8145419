"""Flags that the programs share."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser


def of_a_network(parser: Parser) -> None:
    """The flags that say whose features are taken, and of which archive."""
    add = parser.add_argument
    add("room", help="folder or image of the room: CTR-GCN, stgcn ...")
    add("--weights", type=Path, required=True, help="weights file of a training in that room")
    add("--config", type=Path, help="YAML file of the training; default: the config.yaml beside the weights, else the "
        "room's own")  # fmt: skip
    add("--archive", type=Path, required=True, help="any archive that the lab reads, with both splits")
    add("--layout", help="of the archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--device", default="cpu", help="cpu, 0, cuda:0 (default: cpu)")
    add("--trust-code", action="store_true", help=trust.HELP)
