"""The control groups that rule this process, by which containers and batch systems share a machine out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def groups(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """Folders of the groups that rule this process's ``cpu`` or ``memory``, each before the one that holds it.

    Args:
        root: where ``proc`` and ``sys`` are looked for; tests have a tree of their own.
    """
    try:
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    paths = {name: path for name, path in (_membership(line, controller) for line in lines) if name is not None}
    for mount in mounts:
        fields, _, kind = mount.partition(" - ")
        within, point = fields.split()[3:5]
        system, _, options = [*kind.split(), "", "", ""][:3]
        own = {"cgroup2": "", "cgroup": controller}.get(system)
        if own in paths and (system == "cgroup2" or controller in options.split(",")):
            yield from _upwards(root / point.lstrip("/"), within, paths[own])


def _membership(line: str, controller: str) -> tuple[str | None, str]:
    """Of a line "4:cpu,cpuacct:/a" or, version 2, "0::/a": the controller ("" for version 2), and the group."""
    _, controllers, path = line.split(":", 2)
    known = controller if controller in controllers.split(",") else None if controllers else ""
    return known, path


def _upwards(top: Path, within: str, path: str) -> Iterator[Path]:
    """From the group ``path`` up to ``top``, where the group ``within`` is mounted: a container sees its own alone."""
    try:
        inner = PurePosixPath(path).relative_to(within)
    except ValueError:  # named as the host sees it
        inner = PurePosixPath()
    group = top / inner if ".." not in inner.parts else top
    yield group
    while group != top:
        group = group.parent
        yield group
