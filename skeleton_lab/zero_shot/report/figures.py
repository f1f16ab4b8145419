"""The pictures of a zero-shot report: the gate at every threshold, and the shared space in a plane."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.reporting.html.line_chart import Chart, Series
from skeleton_lab.reporting.html.shell import percent
from skeleton_lab.zero_shot.accuracy import harmonic

WIDTH, HEIGHT, MARGIN = 900, 560, 30
DOT = 6.5  # of 900 across: seen from a chair, also where the page is scaled to a telephone
PER_CLASS = 40  # sequences drawn of each class


@dataclass
class Plane:
    """The two directions in which classes differ most (PCA), each modality around its own mean."""

    points: np.ndarray  # (N, 2) of sequences
    columns: np.ndarray  # (N,) their classes, as columns
    anchors: np.ndarray  # (S, 2) of texts
    share: float  # of the variance between classes
    gap: float  # distance of the two means over the mean distance of a class from that of its modality


def plane(latents: np.ndarray, columns: np.ndarray, anchors: np.ndarray) -> Plane:
    """Project latents (N, L) of classes (N,) and text anchors (S, L).

    Skeletons and texts lie apart, which would take the first direction; what tells classes apart is the rest.
    """
    present = np.unique(columns)
    means = np.stack([latents[columns == column].mean(0) for column in present]).astype(np.float64)
    centres = means.mean(0), anchors.mean(0, dtype=np.float64)
    around = np.concatenate([means - centres[0], anchors - centres[1]])
    _, sizes, directions = np.linalg.svd(around, full_matrices=False)
    shown = np.concatenate([np.flatnonzero(columns == column)[:PER_CLASS] for column in present])
    spread = np.linalg.norm(around, axis=1).mean()
    return Plane(
        (latents[shown] - centres[0]) @ directions[:2].T, columns[shown], (anchors - centres[1]) @ directions[:2].T,
        share=float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-30)),
        gap=float(np.linalg.norm(centres[0] - centres[1]) / max(spread, 1e-30)),
    )  # fmt: skip


def hue(column: int, count: int) -> tuple[str, str]:
    """(colour, ink): neighbouring columns get hues far apart, lightness alternates; ink is readable on the colour."""
    turn = (column * 0.381966) % 1 if count > 12 else column / count
    lightness = (38, 50)[column % 2]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
              for c in colorsys.hls_to_rgb(turn, lightness / 100, 0.7)]  # fmt: skip
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return f"hsl({360 * turn:.0f} 70% {lightness}%)", "#000" if luminance > 0.179 else "#fff"  # equal contrast there


@dataclass
class Dot:
    x: float
    y: float
    hue: str
    ink: str
    name: str = ""  # of a text's class


@dataclass
class Drawn:
    """A plane in the units of its picture, for ``space.html.j2``: dots of sequences, squares of texts."""

    dots: list[Dot]
    texts: list[Dot]
    width: int = WIDTH
    height: int = HEIGHT
    radius: float = DOT


def drawn(picture: Plane, names: Sequence[str]) -> Drawn:
    """The plane laid out, in one scale for both directions; ``names`` are the classes of its columns."""
    everything = np.concatenate([picture.points, picture.anchors])
    low, high = everything.min(0), everything.max(0)
    scale = min((WIDTH - 2 * MARGIN) / max(high[0] - low[0], 1e-9), (HEIGHT - 2 * MARGIN) / max(high[1] - low[1], 1e-9))
    middle = (low + high) / 2

    def dot(xy: np.ndarray, column: int, name: str = "") -> Dot:
        x = WIDTH / 2 + scale * float(xy[0] - middle[0])
        y = HEIGHT / 2 - scale * float(xy[1] - middle[1])
        return Dot(round(x, 1), round(y, 1), *hue(column, len(names)), name)

    return Drawn(
        [dot(xy, int(column)) for xy, column in zip(picture.points, picture.columns)],
        [dot(xy, column, names[column]) for column, xy in enumerate(picture.anchors)],
    )


def gate_chart(p_seen: np.ndarray, seen_right: np.ndarray, unseen_right: np.ndarray, of_seen: np.ndarray) -> Chart:
    """Seen, unseen and harmonic accuracy against the threshold in percent.

    Args:
        p_seen: (N,) P(seen).  seen_right, unseen_right: (N,) whether the answer of either classifier is right.
        of_seen: (N,) whether the sequence is of a seen class; both occur.
    """
    series = [Series("seen", "train", {}), Series("unseen", "test", {}), Series("harmonic mean", "val", {})]
    for threshold in range(0, 101):
        right = np.where(p_seen > threshold / 100, seen_right, unseen_right)
        seen, unseen = float(right[of_seen].mean()), float(right[~of_seen].mean())
        for one, value in zip(series, (seen, unseen, harmonic(seen, unseen))):
            one.points[threshold] = value
    return Chart("Accuracy by threshold", "accuracy (%)", percent, series, axis="threshold (%)")


def save_plane(picture: Plane, names: Sequence[str], path: Path) -> Path:
    """The plane as a PNG file; needs matplotlib."""
    from matplotlib import colormaps

    from skeleton_lab.reporting.run_report import plots

    made = plots.figure(11, 6)
    axes = made.add_subplot()
    colours = colormaps["tab20"](np.arange(len(names)) % 20)
    axes.scatter(
        *picture.points.T, s=55, alpha=0.85, color=colours[picture.columns], edgecolors="white", linewidths=0.7
    )
    for column, (x, y) in enumerate(picture.anchors):
        name = f"{column + 1}  {plots.plain(names[column])}"
        axes.scatter(x, y, s=130, marker="s", color=colours[column], edgecolors="black", linewidths=1.2, label=name)
        axes.text(x, y, str(column + 1), ha="center", va="center", fontsize=7)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xlabel("first principal component", fontsize=10)
    axes.set_ylabel("second", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return plots.save(made, path)
