"""What the tests of the options share."""

from __future__ import annotations

from pathlib import Path

import yaml
from places import ROOT

from skeleton_lab import registry
from skeleton_lab.engine.config.options import Options, parse
from skeleton_lab.engine.recipe import Recipe

ROOM = ROOT / "CTR-GCN"
ALL = "CFHSGT"  # the programs, by the letter of their room


def write(content: dict | str, name: str = "x.yaml") -> str:
    Path(name).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return name


def recipe(program: str) -> Recipe:
    return registry.find(program).recipe


def options(program: str, *argv: str, config: dict | str | None = None) -> Options:
    """Options of a room (its letter) from arguments, with the YAML file ``x.yaml`` here if its content is given."""
    arguments = list(argv) if config is None else ["--config", write(config), *argv]
    if program == "G" and not any("work" in argument for argument in arguments):
        arguments += ["--work-dir", "w"]
    return parse(recipe(program), arguments, ROOM)
