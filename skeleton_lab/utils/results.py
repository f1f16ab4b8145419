"""Files with what was measured."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.errors import UsageError
from skeleton_lab.utils.atomic import write_atomically


def check_folder(folder: Path) -> None:
    """UsageError before the work if results cannot go there."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; give a folder")


def write_json(path: Path, content: Any) -> None:
    """UsageError where it cannot be written."""
    _write(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """UsageError where it cannot be written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    _write(path, text.getvalue().encode())


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(content))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
