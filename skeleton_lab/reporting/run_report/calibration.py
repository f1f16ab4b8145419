"""How sure the network was: the reliability diagram of a run, before and after a temperature, and unknown classes.

``skeleton-lab calibrate`` writes ``calibration.json``, which holds everything that is shown here; without it the
diagram is that of evaluation.npz.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skeleton_lab.reporting.html import line_chart
from skeleton_lab.reporting.html.line_chart import Chart, Drawn, Series
from skeleton_lab.reporting.html.shell import Section, percent
from skeleton_lab.utils.reliability import Reliability

FILE = "calibration.json"
TEMPLATE = "reporting/run_report/templates/calibration.html.j2"
COLOURS = ("test", "val", "train")  # of line_chart, one for each score


@dataclass(frozen=True)
class Score:
    """How a score separates known clips from unknown ones; shares are fractions."""

    name: str
    auroc: float
    fpr: float
    roc: list[float]  # unknown clips accepted where k / (P - 1) of the known ones are
    threshold: float
    accepted: dict[str, float]  # by that threshold: of "known", of "unknown" clips
    edges: list[float]
    shares: dict[str, list[float]]  # of the clips of a side, between the edges


@dataclass(frozen=True)
class Calibration:
    """What ``calibration.json`` tells."""

    weights: str
    temperature: float
    fitted: bool
    clips: int  # of the validation
    held_out: int  # subjects
    of: int
    before: Reliability
    after: Reliability
    rejecting: str  # the score that predictions heed
    counts: tuple[int, int] = (0, 0)  # known, unknown test clips
    scores: list[Score] = field(default_factory=list)

    @property
    def rejects(self) -> Score | None:
        return next((score for score in self.scores if score.name == self.rejecting), None)


def read(path: Path) -> Calibration:
    """The file of a work dir.

    Raises:
        ValueError, KeyError, TypeError: it is damaged; OSError: it cannot be read.
    """
    told = json.loads(path.read_text("utf-8"))
    unknown = told["unknown"] or {"known": 0, "unknown": 0, "scores": {}}
    scores = [Score(str(name), **each) for name, each in unknown["scores"].items()]
    found = Calibration(
        weights=str(told["weights"]), temperature=float(told["temperature"]), fitted=bool(told["fitted"]),
        clips=int(told["validation"]["clips"]), held_out=int(told["subjects"]["held_out"]),
        of=int(told["subjects"]["of"]), before=Reliability.of_json(told["before"]),
        after=Reliability.of_json(told["after"]), rejecting=str(told["reject"]["score"]),
        counts=(int(unknown["known"]), int(unknown["unknown"])), scores=scores,
    )  # fmt: skip
    for score in scores:
        figures = [score.auroc, score.fpr, score.threshold, *score.roc, *score.edges, *score.accepted.values(),
                   *score.shares["known"], *score.shares["unknown"]]  # fmt: skip
        sides = all(len(score.shares[side]) == len(score.edges) - 1 for side in score.accepted)
        if not all(map(math.isfinite, figures)) or len(score.roc) < 2 or not sides:
            raise ValueError(f"figures of {score.name}")
    return found


def diagrams(found: Calibration | None, measured: Reliability | None) -> list[tuple[str, Reliability]]:
    """Titles and reliability: before and after the temperature, or ``measured``, of a run that was not calibrated."""
    if found is None:
        return [] if measured is None else [("As trained", measured)]
    before = ("As trained", found.before)
    return [before, (f"Temperature {found.temperature:.3g}", found.after)] if found.fitted else [before]


def told(found: Calibration | None, what: str) -> str:
    """What the diagrams are of; ``what`` evaluation.npz is of."""
    return what if found is None else f"Test clips, {found.weights}"


def section(
    found: Calibration | None, measured: Reliability | None, what: str, number: int
) -> tuple[Section, Drawn | None] | None:
    """The part of the page, and its chart of unknown classes where there is one, the ``number``-th of the page.

    Args:
        measured: of evaluation.npz, for a run without ``calibration.json``; ``what`` that is of.
    """
    pairs = diagrams(found, measured)
    if not pairs:
        return None
    pictures, rows = [], []
    for title, each in pairs:
        pictures.append({"title": title, "words": _in_words(each), **layout(each)})
        rows.append((title, percent(each.top1), percent(each.mean_confidence), percent(each.ece),
                     percent(each.ece_calibrated), f"{each.brier:.4f}", f"{each.nll:.4f}"))  # fmt: skip
    drawn = None if found is None or not found.scores else line_chart.draw(_chart(found), number)
    return Section("calibration", "Calibration", TEMPLATE, {
        "what": told(found, what), "found": found, "diagrams": pictures, "chart": drawn, "bins": _bins(pairs),
        "head": ("", "top-1", "mean p", "ECE", "ECE of a calibrated network", "Brier", "NLL"), "rows": rows,
        "scores": [] if found is None else [(score.name, percent(score.auroc), percent(score.fpr))
                                            for score in found.scores],
    }), drawn  # fmt: skip


def _chart(found: Calibration) -> Chart:
    chart = Chart("Unknown clips that are accepted", "%", percent, axis="known clips accepted, %")
    for score, colour in zip(found.scores, COLOURS):
        last = len(score.roc) - 1
        points = {round(100 * k / last): share for k, share in enumerate(score.roc)}
        chart.series.append(Series(score.name, colour, points))
    return chart


def _in_words(each: Reliability) -> str:
    return (f"Expected calibration error {percent(each.ece)}: the network is right in {percent(each.top1)} of "
            f"{each.samples} clips and on average {percent(each.mean_confidence)} sure.")  # fmt: skip


def _bins(pairs: list[tuple[str, Reliability]]) -> list[tuple[str, ...]]:
    """Rows of the table: every bin that holds a clip."""
    rows = []
    for title, each in pairs:
        bins = len(each.count)
        rows += [
            (title, f"{100 * k / bins:.0f} to {100 * (k + 1) / bins:.0f} %", str(count), percent(each.confidence[k]),
             percent(each.accuracy[k]))
            for k, count in enumerate(each.count)
            if count
        ]  # fmt: skip
    return rows


WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 432, 10, 230  # of the accuracies
BAND = 4  # of what chance makes, wide
STRIP = (246, 286)  # of the shares of the clips


def layout(each: Reliability) -> dict[str, Any]:
    """Where the parts of a reliability diagram lie in its picture of WIDTH x HEIGHT."""

    def x(share: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * share, 1)

    def y(share: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * share, 1)

    bins = len(each.count)
    most = max(each.count)
    bars, bands, shares = [], [], []
    for k, count in enumerate(each.count):
        if not count:
            continue
        left, width = x(k / bins) + 1, round((RIGHT - LEFT) / bins - 2, 1)
        bars.append((left, y(each.accuracy[k]), width, round(BOTTOM - y(each.accuracy[k]), 1)))
        height = max(round(y(each.low[k]) - y(each.high[k]), 1), 2)
        bands.append((round(x(each.confidence[k]) - BAND / 2, 1), y(each.high[k]), BAND, height))
        height = max(round((STRIP[1] - STRIP[0]) * count / most, 1), 1)
        shares.append((left, round(STRIP[1] - height, 1), width, height))
    ticks = (0, 0.2, 0.4, 0.6, 0.8, 1)
    return {
        "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM, "strip": STRIP,
        "bars": bars, "bands": bands, "shares": shares, "most": most,
        "levels": [(y(tick), percent(tick, 0)) for tick in ticks],
        "places": [(x(tick), percent(tick, 0)) for tick in ticks],
    }  # fmt: skip
