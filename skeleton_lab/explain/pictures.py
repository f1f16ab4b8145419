"""Maps as PNG files, for papers and slides. The only module of the package that needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap

from skeleton_lab.explain.attribution import METHODS
from skeleton_lab.explain.cells import Part
from skeleton_lab.explain.results import WORDS
from skeleton_lab.reporting.run_report import plots
from skeleton_lab.skeletons.figure import places
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.skeletons.sides import of_layout

FOR_AND_AGAINST = LinearSegmentedColormap.from_list("evidence", ["#0072B2", "#F4F6F8", "#C44E00"])
ROW = 0.19  # inches of a part


def heat(
    of: Mapping[str, np.ndarray], parts: Sequence[Part], persons: Sequence[int], layout: Layout | None, title: str,
    path: Path,
) -> Path:  # fmt: skip
    """Of each method the map, parts by time, and beside it a body whose joints show the sum over time.

    Args:
        of: method -> (M, P, W). persons: the rows of M that are drawn. path: of the PNG.
    """
    body = 0 if layout is None else 1
    rows, width = len(persons), [3.0, 1.15][: 1 + body] * len(METHODS)
    made = plots.figure(1.6 + 2.9 * len(METHODS) + 1.6 * body * len(METHODS), (ROW * len(parts) + 0.8) * rows + 0.7)
    grid = made.add_gridspec(rows, len(width), width_ratios=width)
    for column, method in enumerate(METHODS):
        values = of[method]
        reach = float(np.abs(values).max()) or 1.0
        for row, person in enumerate(persons):
            axes = made.add_subplot(grid[row, column * (1 + body)])
            picture = axes.imshow(
                values[person], aspect="auto", cmap=FOR_AND_AGAINST, vmin=-reach, vmax=reach,
                extent=(0, 100, len(parts) - 0.5, -0.5), interpolation="nearest",
            )  # fmt: skip
            names = [plots.plain(part.name) for part in parts] if column == 0 else [""] * len(parts)
            axes.set_yticks(range(len(parts)), names, fontsize=8)
            axes.tick_params(length=0, labelsize=8)
            axes.spines[:].set_visible(False)
            whose = f", person {person + 1}" if rows > 1 else ""
            axes.set_title(f"{WORDS[method]}{whose}", fontsize=10, loc="left")
            if row == rows - 1:
                axes.set_xlabel("time of the clip (%)", fontsize=9)
            if layout is not None:
                _body(made.add_subplot(grid[row, 2 * column + 1]), layout, parts, values[person].sum(1))
        bar = made.colorbar(picture, ax=axes, location="bottom", shrink=0.8, aspect=40, pad=0.02)
        bar.set_label("log-odds (orange: for the class)", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    made.suptitle(plots.plain(title), fontsize=11, x=0.01, ha="left")
    return plots.save(made, path)


def _body(axes: Any, layout: Layout, parts: Sequence[Part], totals: np.ndarray) -> None:
    """A standing figure that looks at the reader; its joints as large and as dark as what they say."""
    at = places(layout)
    value = np.zeros(layout.V)
    for part, total in zip(parts, totals):
        value[list(part.joints)] = total / len(part.joints)
    reach = float(np.abs(value).max()) or 1.0
    edges = np.array(of_layout(layout).edges).reshape(-1, 2)
    axes.add_collection(LineCollection(at[edges], colors="#B8C0C8", linewidths=1.6, zorder=1))
    size = 8 + 120 * np.abs(value) / reach
    axes.scatter(*at.T, s=size, c=value, cmap=FOR_AND_AGAINST, vmin=-reach, vmax=reach, edgecolors="#5B6570",
                 linewidths=0.5, zorder=2)  # fmt: skip
    axes.set_aspect("equal")
    axes.margins(0.15)
    axes.axis("off")


def sanity(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """How much of a map is left when layers begin anew, of each method."""
    made = plots.figure(5.6, 3.4)
    axes = made.add_subplot()
    lowest = min((row[method] for row in rows for method in METHODS if row[method] is not None), default=0.0)
    for method, colour in zip(METHODS, ("#C44E00", "#0072B2")):
        known = [(0.0, 1.0), *((row["share"], row[method]) for row in rows if row[method] is not None)]
        axes.plot(*zip(*known), color=colour, marker="o", markersize=5, linewidth=1.8, label=WORDS[method])
    axes.axhline(0, color="#5B6570", linewidth=0.8)
    axes.set_ylim(min(-0.55, lowest - 0.05), 1.05)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    axes.set_xlabel("random layers, from the classifier down (%)", fontsize=10)
    axes.set_ylabel("rank correlation with\nthe trained network's map", fontsize=10)
    axes.grid(axis="y", color="#E3E7EB", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False)
    made.suptitle(plots.plain(title), fontsize=11, x=0.01, ha="left")
    return plots.save(made, path)
