"""To what a folder of features belongs: one network, configuration and archive; files of others are never replaced."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.data.preprocessing.spool import locked
from skeleton_lab.engine.work_dir import next_previous
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.file_digests import whole

MADE = "made_from.json"  # written first: to what the folder belongs; and last: the files, with their digests


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """While one run writes into a folder, a second is refused.

    Raises:
        LabError: another process is at work there.
        UsageError: it cannot be written to, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            yield
    except OSError as error:
        if isinstance(error, (LabError, BrokenPipeError)):
            raise
        why = error.strerror or error
        raise UsageError(f"{folder}: cannot be written to ({why}); what is whole stays, --resume goes on") from error


def put_away(folder: Path) -> Path | None:
    """Move the arrays of a folder, and what they were made from, to ``previous/<n>/``; None if there are none."""
    found = [*sorted(folder.glob("*.npy")), *(folder / name for name in (MADE,) if (folder / name).is_file())]
    if not any(path.suffix == ".npy" for path in found):
        return None
    target = next_previous(folder)
    target.mkdir(parents=True)
    for path in found:
        path.replace(target / path.name)
    return target


@dataclass(frozen=True)
class Owner:
    """What a folder is made from.

    Attributes:
        fingerprint: of everything that the files depend on.  told: the same for people.
    """

    fingerprint: str
    told: dict[str, str]

    def finished(self, folder: Path) -> dict[str, tuple[int, ...]] | None:
        """File name -> shape of what an earlier run made from the same, if all of it is there and as it was."""
        told = _read(folder)
        if told.get("fingerprint") != self.fingerprint or not isinstance(told.get("digests"), dict):
            return None
        try:
            shapes = {name: tuple(shape) for name, shape in told["files"].items()}
            same = all(whole(folder / f"{name}.npy") == told["digests"][name] for name in shapes)
        except (OSError, KeyError, TypeError, AttributeError):
            return None
        return shapes if same and shapes else None

    def claim(self, folder: Path, say: Callable[[str], None]) -> None:
        """Make the folder this owner's before anything is written into it.

        Files of nobody known (published features, say) go to ``previous/<n>/``, which is said; so do files of this
        owner that are not what it made.

        Raises:
            UsageError: it belongs to another, or cannot be written to.
        """
        told = _read(folder)
        owner = told.get("fingerprint")
        if owner is not None and owner != self.fingerprint:
            what = ", ".join(f"{key} {value}" for key, value in (told.get("from") or {}).items())
            raise UsageError(
                f"{folder} was {'made' if told.get('files') else 'begun'} from another network, configuration, archive "
                f"or split{f' ({what})' if what else ''}; give another --ve or --out, or remove that folder"
            )
        try:
            if (owner is None or told.get("files")) and (moved := put_away(folder)) is not None:
                say(f"{folder} held features that this network did not make; they are in {moved} now")
            self._write(folder, {})
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({error.strerror or error})") from None

    def finish(self, folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
        """Everything is there."""
        digests = {name: whole(folder / f"{name}.npy") for name in shapes}
        self._write(folder, {"files": {name: list(shape) for name, shape in shapes.items()}, "digests": digests})

    def _write(self, folder: Path, more: dict[str, Any]) -> None:
        text = json.dumps({"fingerprint": self.fingerprint, "from": self.told, **more}, indent=1)
        write_atomically(folder / MADE, lambda file: file.write(text.encode()))


def _read(folder: Path) -> dict[str, Any]:
    """``made_from.json``, empty where there is none or it is damaged."""
    try:
        told = json.loads((folder / MADE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
