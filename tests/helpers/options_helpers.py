"""What the tests of the options share."""

from __future__ import annotations

from pathlib import Path

import yaml
from places import ROOT

from skeleton_lab import registry
from skeleton_lab.engine.config.options import Options, parse

ROOM = ROOT / "CTR-GCN"


def write(content: dict | str, name: str = "x.yaml") -> str:
    Path(name).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return name


def options(program: str, *argv: str, config: dict | str | None = None) -> Options:
    """Options of an argument list of a room (its letter), with ``x.yaml`` here if its content is given."""
    arguments = list(argv) if config is None else ["--config", write(config), *argv]
    if program == "G" and not any("work" in argument for argument in arguments):
        arguments += ["--work-dir", "w"]
    return parse(registry.find(program).recipe, arguments, ROOM)
