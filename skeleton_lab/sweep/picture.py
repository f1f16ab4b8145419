"""A search as a PNG file. The only module here that needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator, PercentFormatter

from skeleton_lab.reporting.run_report import plots
from skeleton_lab.sweep import state

if TYPE_CHECKING:
    from skeleton_lab.sweep.ranking import Ranked

BEST, FINISHED, STOPPED = plots.COLOURS["val"], plots.COLOURS["train"], "#9AA3AC"


def courses(found: Sequence[Ranked], best: Ranked, path: Path) -> Path:
    """Accuracy over the epochs of all trials; those that were stopped end in a cross."""
    made = plots.figure(7.2, 4.2)
    axes = made.add_subplot()
    labelled: set[str] = set()
    for each in reversed(found):  # the better ones above
        if not each.history:
            continue
        stopped = each.now.kind == state.STOPPED
        label = "stopped by ASHA" if stopped else each.now.kind
        colour, width = STOPPED if stopped else FINISHED, 1.1
        if each is best:
            colour, width, label = BEST, 2.2, f"best: {each.values}"
        epochs, shares = zip(*sorted(each.history.items()))
        axes.plot(
            epochs, shares, color=colour, linewidth=width, marker=".", markersize=4,
            label=None if label in labelled else plots.plain(label),
        )  # fmt: skip
        labelled.add(label)
        if stopped:
            axes.plot(epochs[-1:], shares[-1:], "x", color=STOPPED, markersize=7, markeredgewidth=1.6)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#E3E7EB", linewidth=0.8)
    axes.set_xlabel("epoch", fontsize=10)
    axes.set_ylabel("top-1 on the validation split", fontsize=10)
    plots.bare(axes)
    made.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return plots.save(made, path)
