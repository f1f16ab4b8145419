"""Which code a configuration may name: that of the open room and of skeleton_lab, found without running anything else.

People share configurations beside weights, so a dotted name in one is a stranger's word until its place is known.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

LAB = Path(__file__).resolve().parent.parent
NO_CODE = ("config", "data", "work_dir")  # of a room: where files of others are laid
INSTALLED = ("site-packages", "dist-packages")
HELP = "import whatever the configuration names, also from outside the room (off: nobody's code but the room's runs)"
_known: list[Path] = []  # the folders of all rooms
_open: list[Path] = []  # rooms whose programs are running
_everything: list[bool] = [False]  # the last one counts


def know(folders: Iterable[Path]) -> None:
    """Folders that are rooms, and whose code may be named at any time."""
    _known.extend(folders)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Inside, configurations may name the code of the room ``folder``."""
    _open.append(Path(folder))
    try:
        yield
    finally:
        _open.pop()


@contextlib.contextmanager
def trusting(everything: bool) -> Iterator[None]:
    """Inside, with ``everything``, configurations may name whatever can be imported: ``--trust-code``."""
    _everything.append(everything)
    try:
        yield
    finally:
        _everything.pop()


def everything() -> bool:
    return _everything[-1]


def _rooms() -> list[Path]:
    """The open rooms, those it was told of, and the folder of the running script where that looks like a room."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    here = [Path(os.path.abspath(script)).parent] if script else []  # noqa: PTH100  links stay
    return [*_open, *_known, *(folder for folder in here if (folder / "main.py").is_file())]


def trusted(place: str | os.PathLike[str]) -> bool:
    """Whether a file or folder belongs to skeleton_lab or to a room's code; a link counts where it lies, too."""
    spots = [Path(os.path.abspath(place)), Path(os.path.realpath(place))]  # noqa: PTH100
    for folder in _rooms():
        for root in {Path(os.path.abspath(folder)), Path(os.path.realpath(folder))}:  # noqa: PTH100
            for spot in spots:
                if spot.is_relative_to(root):
                    parts = spot.relative_to(root).parts
                    if parts and parts[0] not in NO_CODE and not set(parts) & set(INSTALLED):
                        return True
    return any(spot.is_relative_to(LAB) for spot in spots)


def specs(module: str) -> Iterator[ModuleSpec | None]:
    """The specs of ``a``, ``a.b``, ``a.b.c`` as far as there are any, then None; no module is run to find them."""
    name, locations = "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        if locations is None:
            try:
                spec = importlib.util.find_spec(name)
            except (ImportError, ValueError):  # __main__, for one, has none
                spec = None
        else:
            spec = PathFinder.find_spec(name, locations)
        yield spec
        if spec is None:
            return
        locations = list(spec.submodule_search_locations or ())


def places(spec: ModuleSpec) -> Sequence[str]:
    """The file of a module, or the folders of a package without ``__init__``; none for what Python itself contains.

    ``built-in`` and ``frozen``, which stand in place of a path then, would be read as one of the current folder.
    """
    if spec.has_location:
        return [spec.origin] if spec.origin else []
    return list(spec.submodule_search_locations or ())


def foreign(module: str) -> str | None:
    """Where the first package or module on the way to ``module`` lies that is nobody's here; None if all are fine.

    A module that does not exist is not foreign.
    """
    for spec in specs(module):
        if spec is None:
            return "already loaded" if module in sys.modules else None
        if not any(trusted(place) for place in places(spec)):
            return next(iter(places(spec)), "part of Python")
    return None


def _file(thing: Any) -> str:
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return getattr(module, "__file__", None) or os.devnull  # of Python itself: a path that is nobody's


def of_here(thing: Any) -> bool:
    """Whether a class or function was defined in a room or in skeleton_lab."""
    return trusted(_file(thing))


def lab(thing: Any) -> bool:
    """Whether it was defined in skeleton_lab itself."""
    return Path(_file(thing)).is_relative_to(LAB)
