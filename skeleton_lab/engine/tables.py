"""Tables of several tests of one network, and their pictures, in the work dir."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from skeleton_lab.engine.runtime import Run
from skeleton_lab.engine.signals import Stopped
from skeleton_lab.utils.atomic import write_atomically


def write(run: Run, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows, which have the keys of the first, as CSV file ``name``."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(run.work_dir / name, lambda file: file.write(text.getvalue().encode()))


def draw(run: Run, kind: str, picture: str) -> None:
    """The picture of a table by ``draw`` of ``reporting.run_report.<kind>``; one that fails never fails the run.

    Raises:
        Stopped: a signal came meanwhile.
    """
    try:
        module = importlib.import_module(f"skeleton_lab.reporting.run_report.{kind}")
        module.draw([run.work_dir], run.work_dir / picture)
    except Stopped:
        raise
    except Exception as error:
        run.log(f"No {picture}: {type(error).__name__}: {error}")
