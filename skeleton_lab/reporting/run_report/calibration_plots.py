"""``plots/reliability.png`` and ``plots/unknown.png``; as ``plots`` it needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from skeleton_lab.reporting.run_report import plots
from skeleton_lab.reporting.run_report.calibration import Calibration
from skeleton_lab.utils.reliability import Reliability

KNOWN, UNKNOWN, BAR = "#0072B2", "#C44E00", "#4F9BD0"
SHARES = PercentFormatter(xmax=1, symbol="", decimals=0)
LINES = ("#C44E00", "#009E73", "#0072B2")


def reliability(diagrams: Sequence[tuple[str, Reliability]], path: Path, title: str = "") -> Path:
    """Reliability diagrams side by side, below each the shares of the clips."""
    made = plots.figure(0.6 + 4.6 * len(diagrams), 5.6)
    grid = made.add_gridspec(2, len(diagrams), height_ratios=(4, 1))
    for column, (name, each) in enumerate(diagrams):
        axes = made.add_subplot(grid[0, column])
        bins = len(each.count)
        count = np.array(each.count)
        at = np.flatnonzero(count)
        middle = (at + 0.5) / bins
        low, high, accuracy = (np.array(values)[at] for values in (each.low, each.high, each.accuracy))
        axes.bar(middle, accuracy, 0.92 / bins, color=BAR, label="accuracy")
        centre = np.array(each.confidence)[at]
        axes.errorbar(centre, (low + high) / 2, (high - low) / 2, fmt="none", color="#1C2127", capsize=3, linewidth=1.3,
                      label="calibrated, with chance (95 %)")  # fmt: skip
        axes.plot([0, 1], [0, 1], color="#333333", linestyle="--", linewidth=1.4, label="calibrated")
        axes.set_title(plots.plain(name), fontsize=11, loc="left", fontweight="bold")
        told = (
            f"ECE {100 * each.ece:.1f} %\n(calibrated: {100 * each.ece_calibrated:.1f} %)\n"
            f"Brier {each.brier:.3f}\nNLL {each.nll:.3f}"
        )
        axes.text(0.03, 0.97, told, transform=axes.transAxes, va="top", fontsize=9)
        below = made.add_subplot(grid[1, column], sharex=axes)
        below.bar(middle, count[at] / each.samples, 0.92 / bins, color="#8894A0")
        below.set_xlabel("confidence (%)", fontsize=10)
        for part in (axes, below):
            part.set_xlim(0, 1)
            part.xaxis.set_major_formatter(SHARES)
            part.yaxis.set_major_formatter(SHARES)
            plots.bare(part)
        axes.tick_params(labelbottom=False)
        axes.set_ylim(0, 1)
        if not column:
            axes.set_ylabel("accuracy (%)", fontsize=10)
            below.set_ylabel("clips (%)", fontsize=10)
            named = axes.get_legend_handles_labels()
    made.legend(*named, fontsize=9, frameon=False, loc="outside lower center", ncols=1 if len(diagrams) == 1 else 3)
    made.suptitle(plots.plain(title), fontsize=11, x=0.01, ha="left")
    return plots.save(made, path)


def unknown(found: Calibration, path: Path, title: str = "") -> Path:
    """Left the scores that predictions heed, of known and of unknown clips, with the threshold; right all scores."""
    heeded = found.rejects or found.scores[0]
    made = plots.figure(10.4, 4.2)
    left, right = made.subplots(1, 2)
    edges = np.array(heeded.edges)
    for side, colour, count in zip(("known", "unknown"), (KNOWN, UNKNOWN), found.counts):
        left.stairs(heeded.shares[side], edges, fill=True, color=colour, alpha=0.5, label=f"{side}: {count} clips")
    left.axvline(heeded.threshold, color="black", linestyle="--", linewidth=1.2, label="threshold (95 % of held out)")
    left.set_xlabel(heeded.name, fontsize=10)
    left.set_ylabel("clips (%)", fontsize=10)
    left.legend(fontsize=9, frameon=False)
    left.set_title("Test clips by score", fontsize=11, loc="left", fontweight="bold")
    for score, colour in zip(found.scores, LINES):
        right.plot(score.roc, np.linspace(0, 1, len(score.roc)), color=colour, linewidth=1.8,
                   label=f"{score.name}: AUROC {100 * score.auroc:.1f} %, FPR95 {100 * score.fpr:.1f} %")  # fmt: skip
    right.plot([0, 1], [0, 1], color="#333333", linestyle="--", linewidth=1)
    right.set_xlabel("unknown clips accepted (%)", fontsize=10)
    right.set_ylabel("known clips accepted (%)", fontsize=10)
    right.set_xlim(0, 1)
    right.set_ylim(0, 1.01)
    right.xaxis.set_major_formatter(SHARES)
    right.legend(fontsize=9, frameon=False, loc="lower right")
    right.set_title("Known from unknown", fontsize=11, loc="left", fontweight="bold")
    for axes in (left, right):
        axes.yaxis.set_major_formatter(SHARES)
        plots.bare(axes)
    made.suptitle(plots.plain(title), fontsize=11, x=0.01, ha="left")
    return plots.save(made, path)
