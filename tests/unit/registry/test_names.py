"""The library knows no room: neither its name nor its program's letter nor its classes, but for one table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from skeleton_lab import registry

PACKAGE = registry.ROOT / "skeleton_lab"
ROOMS = {name for room in registry.ROOMS for name in (room.folder.lower(), room.image)}
IDENTIFIER = re.compile("|".join(re.sub(r"\W", "_?", name) for name in sorted(ROOMS)), re.IGNORECASE)
CLASS = re.compile(r"(model|net|graph|feeders?)(\.\w+)*\.[A-Z]\w*")
LETTERS = {room.program for room in registry.ROOMS if room.program}
OPTIMISER = "SGD"  # which happens to be three letters of rooms
CONVENTION = "graph.skeleton.Graph"  # what every room calls its graph of any skeleton (docs/extending.md)
# Words that are also something else than a room.
ALLOWED = {
    "data/archives/": {"ctrgcn", "msg3d"},  # layouts of arrays, as archives and their converters are called
    "data/preprocessing/": {"ctrgcn", "msg3d", "stgcn"},  # published pipelines: values of --pipeline
    "baselines/": {"stgcn"},  # a small network after ST-GCN is called so
    "zero_shot/": {"fsvae", "msfgzssar", "hypergcn"},  # the two methods are this package
}
# Where "pyskl" is a format of files, or of the pipelines that read them; it is older than the room of that name.
FORMAT, READERS = "pyskl", ("data/", "inference/")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "registry.py")


def prose(tree: ast.AST) -> set[int]:
    """Docstrings, by identity."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, scopes)]
    return {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}


def names_in(source: str, allowed: set[str] = frozenset(), formats: set[str] = frozenset()) -> Iterator[str]:
    """What a module names: rooms, their classes, and letters that something is compared with."""
    words = allowed | formats
    tree = ast.parse(source)
    told = prose(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            word = re.sub(r"\W", "", node.value.lower())
            if node.value.lower() in ROOMS and word not in words:
                yield f"room {node.value!r}"
            if CLASS.fullmatch(node.value) and not allowed and node.value != CONVENTION:
                yield f"class {node.value!r}"
        elif isinstance(node, ast.Compare):
            for each in node.comparators:
                text = each.value if isinstance(each, ast.Constant) else None
                if isinstance(text, str) and text and set(text) <= LETTERS and text != OPTIMISER:
                    yield f"letter {text!r}"
        name = getattr(node, "id", None) or (getattr(node, "name", None) if hasattr(node, "body") else None)
        found = IDENTIFIER.search(name) if isinstance(name, str) else None
        if found and re.sub(r"\W|_", "", found[0].lower()) not in words:
            yield f"identifier {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_in_the_library(path):
    place = path.relative_to(PACKAGE).as_posix()
    allowed = next((words for folder, words in ALLOWED.items() if place.startswith(folder)), set())
    formats = {FORMAT} if place.startswith(READERS) else set()
    assert not list(names_in(path.read_text(), allowed, formats))


@pytest.mark.parametrize(
    "source",
    [
        'if letter == "G": pass', 'file = letter in "GT"', 'room = "CTR-GCN"', 'image = "msg3d"',
        'build("model.ctrgcn.Model")', "def load_skateformer(): pass", "STGCN_LINES = 1", 'x = {"H": 1}["Hyper-GCN"]',
    ],
)  # fmt: skip
def test_names_are_found(source):
    assert list(names_in(source))


def test_every_supervised_room_has_a_recipe_of_its_own():
    rooms = [room for room in registry.ROOMS if room.program]
    recipes = [room.recipe for room in rooms]
    assert [recipe.name for recipe in recipes] == [room.folder for room in rooms]
    assert len({recipe.mark for recipe in recipes}) == len(rooms)
    for room in rooms:
        lines = (room.path / "main.py").read_text().splitlines()
        assert "from recipe import RECIPE" in lines and len(lines) < 20
