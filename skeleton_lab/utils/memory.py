"""Host memory that this process may still take: what is free, and what its control groups leave."""

from __future__ import annotations

from pathlib import Path

import psutil

from skeleton_lab.utils.cgroups import ROOT, groups

# (limit, used, line of memory.stat that tells cached files, which make room): versions 2 and 1
FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available(root: Path = ROOT) -> int:
    """Bytes: of the machine, or less where a container or a batch system allows less."""
    left = [room for group in groups("memory", root) if (room := _left(group)) is not None]
    return max(min([psutil.virtual_memory().available, *left]), 0)


def _left(group: Path) -> int | None:
    """Of one group; None where it has no limit."""
    limit, used, cached = next((names for names in FILES if (group / names[0]).is_file()), FILES[0])
    try:
        lines = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
        files = sum(int(line[1]) for line in lines if line[0] == cached)
        return int((group / limit).read_text()) - int((group / used).read_text()) + files
    except (OSError, ValueError, IndexError):  # "max" is no number
        return None
