"""What a run left behind as something to look at: ``report.html`` (one file, works offline) and ``plots/*.png``.

    python -m skeleton_lab.reporting.run_report WORK_DIR

Reads the work dir alone: metrics.jsonl, config.yaml, evaluation.npz, hardest.npz, any of which may be missing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import LabError
from skeleton_lab.reporting.html import clip_json
from skeleton_lab.reporting.html.clip_json import Clip
from skeleton_lab.reporting.html.line_chart import Chart
from skeleton_lab.reporting.run_report import calibration, page
from skeleton_lab.reporting.run_report.curves import charts
from skeleton_lab.reporting.run_report.summary import Confusion, confusion, evaluated, per_class
from skeleton_lab.reporting.run_report.work_dir import Run, class_names, load
from skeleton_lab.utils.atomic import write_atomically

__all__ = ["write"]


def write(work_dir: str | os.PathLike) -> Path:
    """Write ``report.html`` and ``plots/*.png`` into a work dir and return the path of the page.

    Without matplotlib there are no PNG files; the page is complete all the same.

    Raises:
        UsageError: not a folder, or there is no run in it.
        LabError: the folder cannot be written to.
    """
    run = load(Path(work_dir))
    names = class_names(run)
    drawn = charts(run)
    matrix = confusion(run)
    clips = clip_json.prepare(run.hardest, run.stream) if run.hardest is not None else []
    highest = max((max(clip.label, clip.pred) for clip in clips), default=-1)
    names += [f"class {k}" for k in range(len(names), highest + 1)]
    text = page.build(run, names, drawn, matrix, clips)
    path = run.work_dir / "report.html"
    try:
        write_atomically(path, lambda file: file.write(text.encode()))
        _plots(run, names, drawn, matrix, clips)
    except OSError as error:
        raise LabError(f"{error.filename or path}: cannot write the report: {error.strerror or error}") from error
    return path


def plot_folder(work_dir: Path) -> Path | None:
    """``plots/`` in a work dir, made; None, with a warning, where nothing can be drawn."""
    try:
        from skeleton_lab.reporting.run_report import plots  # noqa: F401  (it needs matplotlib)
    except ImportError:
        logging.getLogger("skeleton_lab").warning("matplotlib is not installed: the report has no plots/*.png")
        return None
    folder = work_dir / "plots"
    folder.mkdir(exist_ok=True)
    return folder


def _plots(
    run: Run, names: Sequence[str], drawn: Sequence[Chart], matrix: Confusion | None, clips: Sequence[Clip]
) -> None:
    folder = plot_folder(run.work_dir)
    if folder is None:
        return
    from skeleton_lab.reporting.run_report import plots

    if drawn:
        plots.curves(drawn, folder / "curves.png", f"{run.name}: {run.model}")
    if matrix is not None:
        title = f"{run.name}: {evaluated(run)}"
        plots.confusion(matrix, names, folder / "confusion.png", title)
        plots.per_class(per_class(matrix), names, folder / "per_class.png", title)
    _calibration_plots(run, folder)
    if clips:
        clip = clips[0]
        title = f"{run.name}: {names[clip.label]} → {names[clip.pred]}   (sample {clip.name}, {run.stream} stream)"
        plots.skeleton(clip, run.hardest.edges, title, folder / "skeleton.png")


def _calibration_plots(run: Run, folder: Path) -> None:
    from skeleton_lab.reporting.run_report import calibration_plots

    found, measured = run.calibration, run.evaluation.reliability if run.evaluation is not None else None
    title = f"{run.name}: {calibration.told(found, evaluated(run))}"
    if pairs := calibration.diagrams(found, measured):
        calibration_plots.reliability(pairs, folder / "reliability.png", title)
    if found is not None and found.scores:
        calibration_plots.unknown(found, folder / "unknown.png", title)
