"""The plots of a report as PNG files, for papers and slides. The only module that needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from skeleton_lab.reporting.html.clip_json import FRONT, PITCH, YAW, Clip, project
from skeleton_lab.reporting.html.line_chart import Chart
from skeleton_lab.reporting.html.shell import percent
from skeleton_lab.reporting.run_report.summary import ClassAccuracy, Confusion
from skeleton_lab.utils.atomic import write_atomically

# Okabe and Ito's colours, the orange darkened: distinct in all common kinds of colour blindness and in grey
COLOURS = {"train": "#0072B2", "test": "#C44E00", "val": "#009E73"}
PERSONS = ("#0072B2", "#C44E00")
MUTED = "#5B6570"
STRIP = 8  # frames of the skeleton strip
NAMED = 15  # up to so many classes the cells of the matrix carry numbers


def figure(width: float, height: float) -> Figure:
    """A figure (inches) outside of pyplot's global state, so that threads do not disturb each other."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def save(made: Figure, path: Path, dpi: int = 150) -> Path:
    return write_atomically(
        path,
        lambda file: made.savefig(file, dpi=dpi, format="png", facecolor="white", bbox_inches="tight", pad_inches=0.12),
    )


def plain(text: str) -> str:
    """A user's word, with nothing that matplotlib takes for a formula."""
    return text.replace("$", r"\$")


def bare(axes) -> None:
    """Axes without a frame above and at the right, with small numbers."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors="#333333")


def curves(charts: Sequence[Chart], path: Path, title: str = "") -> Path:
    columns = min(2, len(charts))
    rows = -(-len(charts) // columns)
    made = figure(5.2 * columns, 3.3 * rows)
    for place, chart in enumerate(charts):
        axes = made.add_subplot(rows, columns, place + 1)
        for series in chart.series:
            axes.plot(
                list(series.points), list(series.points.values()), color=COLOURS[series.colour], label=series.label,
                linestyle="--" if series.dashed else "-", linewidth=1.8 if not series.dashed else 1.3,
                marker="o" if len(chart.epochs) <= 30 else None, markersize=3,
            )  # fmt: skip
        if chart.log:
            axes.set_yscale("log")
        if chart.text is percent:
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(chart.title, fontsize=11, loc="left", fontweight="bold")
        axes.set_xlabel(chart.axis, fontsize=10)
        axes.set_ylabel(chart.unit, fontsize=10)
        axes.grid(axis="y", color="#E3E7EB", linewidth=0.8)
        bare(axes)
        if len(chart.series) > 1:
            axes.legend(fontsize=9, frameon=False)
    made.suptitle(plain(title), fontsize=11, x=0.01, ha="left")
    return save(made, path)


def confusion(matrix: Confusion, names: Sequence[str], path: Path, title: str = "") -> Path:
    """Row-normalised: the colour of (true, predicted) is the share of the true class's samples."""
    count = len(matrix.classes)
    share = matrix.counts / np.maximum(matrix.totals, 1)[:, None]
    inch = 0.55 if count <= NAMED else 0.2
    size = 9 if count <= NAMED else 7
    made = figure(max(5.5, inch * count + 3.2), max(4.6, inch * count + 2.4))
    axes = made.add_subplot()
    line = 0.8 if count <= NAMED else 0.4
    picture = axes.pcolormesh(share, cmap="Blues", norm=PowerNorm(0.5, 0, 1), edgecolors="white", linewidth=line)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    labels = [plain(names[cls]) for cls in matrix.classes]
    axes.set_xticks(np.arange(count) + 0.5, labels, rotation=90, fontsize=size)
    axes.set_yticks(np.arange(count) + 0.5, labels, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class", fontsize=11)
    axes.set_ylabel("true class", fontsize=11)
    if count <= NAMED:
        for row, column in np.argwhere(matrix.counts):
            ink = "white" if share[row, column] > 0.35 else "black"
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{100 * share[row, column]:.0f}",
                ha="center",
                va="center",
                color=ink,
                fontsize=8,
            )
    bar = made.colorbar(
        picture,
        ax=axes,
        shrink=min(0.6, 8 / made.get_figheight()),
        aspect=25,
        ticks=[0, 0.01, 0.05, 0.25, 0.5, 1],
        pad=0.015,
    )
    bar.ax.set_yticklabels(["0", "1", "5", "25", "50", "100"], fontsize=9)
    bar.set_label("share of the true class (%)", fontsize=10)
    bar.outline.set_visible(False)
    axes.set_title(plain(title), fontsize=11, loc="left")
    return save(made, path)


def per_class(classes: Sequence[ClassAccuracy], names: Sequence[str], path: Path, title: str = "") -> Path:
    columns = -(-len(classes) // 40)
    rows = -(-len(classes) // columns)
    made = figure(2 + 4.6 * columns, 1.1 + 0.24 * rows)
    for column in range(columns):
        part = classes[column * rows : (column + 1) * rows]
        axes = made.add_subplot(1, columns, column + 1)
        places = np.arange(len(part))
        axes.barh(places, [100 * entry.share for entry in part], color="#4F9BD0", height=0.72)
        axes.set_yticks(places, [plain(names[entry.cls]) for entry in part])
        for place, entry in enumerate(part):
            text = f"{100 * entry.share:.1f}  ({entry.correct}/{entry.total})"
            inside = entry.share > 0.6
            axes.text(100 * entry.share + (-1.5 if inside else 1.5), place, text, ha="right" if inside else "left",
                      va="center", fontsize=7.5, color="black")  # fmt: skip
        axes.set_ylim(rows - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy (%)", fontsize=10)
        bare(axes)
        axes.tick_params(axis="y", length=0)
    made.suptitle(plain(title), fontsize=11, x=0.01, ha="left")
    return save(made, path)


def skeleton(clip: Clip, edges: np.ndarray, title: str, path: Path) -> Path:
    """Frames of a clip, evenly spaced, side by side."""
    frames = np.unique(np.linspace(0, len(clip.points) - 1, STRIP).round().astype(int))
    view = FRONT if clip.flat else (YAW, PITCH)
    flat = project(clip.points[frames], clip.centre, *view)[..., :2]  # (frames, M, V, 2)
    seen = flat[clip.present[frames]].reshape(-1, 2)
    half = np.array([clip.radius, clip.height * 1.1])  # of the box; the frames shown may fill less of it
    low, high = np.clip([seen.min(0), seen.max(0)], -half, half) if len(seen) else (-half, half)
    reach = max(*(high - low), 1e-6)
    width, height = np.maximum(high - low, reach / 4) + 0.12 * reach
    made = figure(1.5 * len(frames) + 0.6, min(5.0, max(1.5, 1.5 * height / width)) + 0.9)
    axes = made.add_subplot()
    for column, frame in enumerate(frames):
        if column:
            axes.axvline((column - 0.5) * width, color="#E3E7EB", linewidth=1)
        for person in np.flatnonzero(clip.present[frame]):
            joints = flat[column, person] - (low + high) / 2 + [column * width, 0]
            colour = PERSONS[person % len(PERSONS)]
            if len(edges):
                axes.add_collection(LineCollection(joints[edges], colors=colour, linewidths=1.8, capstyle="round"))
            axes.scatter(*joints.T, s=5, color=colour, zorder=3)
    axes.set_xlim(-width / 2, (len(frames) - 0.5) * width)
    axes.set_ylim(-height / 2, height / 2)
    axes.set_aspect("equal")
    axes.set_xticks(np.arange(len(frames)) * width, [str(frame + 1) for frame in frames], fontsize=9)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=MUTED)
    axes.set_xlabel("frame", fontsize=10)
    made.suptitle(plain(title), fontsize=11, x=0.01, ha="left")
    return save(made, path)
