"""The diagnosis as one picture: labels, lengths, persons, a clip, and the findings. Needs matplotlib."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from skeleton_lab.doctor.diagnosis import ERROR, WARNING, Diagnosis
from skeleton_lab.skeletons import bones
from skeleton_lab.skeletons.schemes import SCORE
from skeleton_lab.utils.importing import optional

STRIP = 6  # frames of the clip
NAMED = 12  # classes whose names have room
TINTS = {ERROR: "#B00020", WARNING: "#8A5A00"}
KINDS = ("none", "one", "two", "the same twice")
SHADES = ("#9AA3AD", "#009E73", "#7A5195", "#B79F00")
LINES, WIDTH = 13, 78  # of the findings


def draw(diagnosis: Diagnosis, path: Path) -> Path:
    """Write ``path`` as PNG.

    Raises:
        UsageError: matplotlib is not installed.
    """
    optional("matplotlib", "matplotlib", "report", "a picture")
    from skeleton_lab.reporting.run_report import plots

    figure = plots.figure(13, 9)
    grid = figure.add_gridspec(3, 2, height_ratios=(1, 1, 1.15))
    figure.suptitle(
        f"{Path(diagnosis.path).name}: {diagnosis.layout}, {'sound' if diagnosis.sound else 'NOT SOUND'}",
        color="black" if diagnosis.sound else TINTS[ERROR], weight="bold",
    )  # fmt: skip
    _labels(figure.add_subplot(grid[0, :]), diagnosis, plots.COLOURS)
    _lengths(figure.add_subplot(grid[1, 0]), diagnosis, plots.COLOURS)
    _persons(figure.add_subplot(grid[1, 1]), diagnosis)
    _clip(figure.add_subplot(grid[2, 0]), diagnosis, plots)
    _findings(figure.add_subplot(grid[2, 1]), diagnosis, plots.plain)
    return plots.save(figure, path, dpi=110)


def _empty(axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color="#5B6570", transform=axes.transAxes)


def _labels(axes, diagnosis: Diagnosis, colours: dict[str, str]) -> None:
    told = {split: facts.histogram for split, facts in diagnosis.splits.items() if facts.histogram}
    if not told:
        return _empty(axes, "no labels")
    for k, (split, counts) in enumerate(told.items()):
        width = 0.8 / len(told)
        axes.bar(np.arange(len(counts)) + (k - (len(told) - 1) / 2) * width, counts, width, label=split,
                 color=colours[split])  # fmt: skip
    axes.set(title="clips per class", xlabel="class (from 0)", ylabel="clips", xlim=(-1, len(counts)))
    names = next((facts.class_names for facts in diagnosis.splits.values() if facts.class_names), [])
    if 0 < len(names) <= NAMED:
        axes.set_xticks(np.arange(len(names)), [textwrap.shorten(name, 90 // len(names) + 4) for name in names])
        axes.set_xlabel("class")
    axes.legend(frameon=False)


def _lengths(axes, diagnosis: Diagnosis, colours: dict[str, str]) -> None:
    told = {split: facts for split, facts in diagnosis.splits.items() if facts.lengths}
    if not told:
        return _empty(axes, "no clips")
    for split, facts in told.items():
        axes.stairs(np.array(facts.lengths) / max(facts.clips, 1), facts.length_edges, label=split,
                    color=colours[split], linewidth=1.8)  # fmt: skip
    axes.set(title="frames that hold something", xlabel="frames", ylabel="share of the clips", ylim=(0, None))
    axes.legend(frameon=False)


def _persons(axes, diagnosis: Diagnosis) -> None:
    told = {split: facts for split, facts in diagnosis.splits.items() if facts.persons}
    if not told:
        return _empty(axes, "no clips")
    left = np.zeros(len(told))
    for kind, shade in zip(KINDS, SHADES):
        share = np.array([facts.persons[kind] / max(facts.clips, 1) for facts in told.values()])
        axes.barh(list(told), share, left=left, color=shade, label=kind, height=0.6)
        left += share
    axes.set(title="persons in a clip", xlabel="share of the clips", xlim=(0, 1))
    axes.legend(frameon=False, ncols=len(KINDS), loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=8)


def _clip(axes, diagnosis: Diagnosis, plots) -> None:
    """Frames of the example side by side, seen from the front: a scrambled file shows a tangle here."""
    from matplotlib.collections import LineCollection

    x = diagnosis.example
    if x is None:
        return _empty(axes, "no clip to draw")
    used = np.flatnonzero(x.any(axis=(1, 2, 3)))
    frames = used[np.linspace(0, len(used) - 1, min(STRIP, len(used))).astype(int)]
    flat = np.nan_to_num(x[frames][..., :2])  # (F, M, V, 2)
    there = flat.any(axis=(2, 3))
    skeleton = diagnosis.skeleton
    found = x[frames][..., 2] >= SCORE if diagnosis.scored else np.ones(flat.shape[:3], bool)
    if skeleton is not None and not skeleton.y_up:
        flat[..., 1] *= -1
    flat[~(found & there[..., None])] = np.nan
    flat -= np.nanmin(flat[..., 0], initial=np.inf) * np.array([1, 0])
    step = 1.15 * max(float(np.nanmax(flat[..., 0], initial=0)), 1e-6)
    parent = bones.BY_JOINTS.get(x.shape[2])
    pairs = skeleton.bones if skeleton is not None else bones.edges(parent) if parent is not None else []
    for k, frame in enumerate(flat):
        for m in np.flatnonzero(there[k])[:2]:
            points = frame[m] + (k * step, 0)
            colour = plots.PERSONS[m]
            if pairs:
                axes.add_collection(LineCollection(points[np.array(pairs)], colors=colour, linewidths=1.2))
            axes.plot(*points.T, ".", color=colour, markersize=2.5)
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.set_axis_off()
    more = f"; 2 of {there.sum(1).max()} persons" if there.sum(1).max() > 2 else ""
    seen = "as in the picture" if diagnosis.scored else "from the front"
    axes.set_title(f"a clip, {seen}; frames {', '.join(map(str, frames))}{more}")


def _findings(axes, diagnosis: Diagnosis, plain) -> None:
    axes.set_axis_off()
    axes.set_title("findings")
    lines: list[tuple[str, str]] = []
    for f in diagnosis.ordered():
        wrapped = textwrap.wrap(f"{f.level}: {f.code}: {f.message}", WIDTH, subsequent_indent="   ", max_lines=3)
        lines += [(line, TINTS.get(f.level, "#333333")) for line in wrapped]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], ("... all of them are in the text", "#333333")]
    for k, (line, tint) in enumerate(lines or [("nothing to report", "#333333")]):
        axes.text(0, 1 - k / LINES, plain(line), color=tint, fontsize=8, va="top", family="monospace",
                  transform=axes.transAxes)  # fmt: skip
