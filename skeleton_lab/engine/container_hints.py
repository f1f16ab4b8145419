"""What only happens in containers: folders of another user, results that go with the container, no /tmp."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

MARKS = ("/.dockerenv", "/run/.containerenv")  # of Docker and Podman
MOUNTS = "/proc/self/mountinfo"
VARIABLE = "SKELETON_LAB_CONTAINER"  # 1 or 0 settles it where the marks do not, as under Apptainer


def inside() -> bool:
    told = os.environ.get(VARIABLE)
    return told != "0" if told else any(Path(mark).exists() for mark in MARKS)


def other_user(error: OSError) -> str:
    """What to do about a folder that belongs to somebody else; nothing outside of containers."""
    if error.errno not in (errno.EACCES, errno.EPERM) or not inside():
        return ""
    return (
        f'; this container runs as user {os.getuid()}: start it with --user "$(id -u):$(id -g)", or give a folder '
        "that this user may write to"
    )


def lost(work_dir: Path) -> list[str]:
    """A warning if the folder lies in the container itself, with which it would be deleted."""
    if not inside() or _mounted(work_dir.resolve()):
        return []
    return [
        f"warning: {work_dir} lies inside the container and is deleted with it: mount a folder of the host there "
        f'(docker run -v "$PWD/work_dir:{work_dir.resolve()}" ...) to keep the results'
    ]


def _mounted(folder: Path) -> bool:
    """Whether a folder of the host, or a volume, is mounted at ``folder`` or above it; true where nothing tells."""
    try:
        lines = Path(MOUNTS).read_text(errors="replace").splitlines()
    except OSError:
        return True
    place, kind = "/", ""
    for line in lines:
        words, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words.split()[4]) if words else ""
        if len(point) >= len(place) and (point == "/" or folder == Path(point) or Path(point) in folder.parents):
            place, kind = point, rest.split()[0] if rest else ""
    return place != "/" and kind not in ("tmpfs", "overlay")
