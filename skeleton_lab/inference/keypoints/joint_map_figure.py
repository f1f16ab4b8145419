"""One picture per map: the joints of the source and of both targets on the same figure, and every rule in words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.skeletons import joint_maps
from skeleton_lab.skeletons.figure import places
from skeleton_lab.skeletons.schemes import SCHEMES, Scheme
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.importing import optional

LEFT, RIGHT, MIDDLE = "#D55E00", "#0072B2", "#444444"  # Okabe and Ito's, apart for the colour blind too
SOURCES = tuple(name for name in joint_maps.TO_NTU if name != "ntu25")


def draw(source: str) -> bytes:
    """The PNG of one source.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    optional("matplotlib", "Matplotlib", "report", "--picture")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scheme = SCHEMES[source]
    targets = [SCHEMES[name] for name in joint_maps.TARGETS if name != source]
    sheet = Figure(figsize=(3.9 * (1 + len(targets)) + 5.6, 5.6), dpi=100)
    FigureCanvasAgg(sheet)
    panels = sheet.subplots(1, 2 + len(targets), width_ratios=[1] * (1 + len(targets)) + [1.3])
    _skeleton(panels[0], scheme, places(scheme), f"{scheme.title} ({source})")
    for panel, target in zip(panels[1:], targets):
        panel.scatter(*places(scheme).T, s=90, facecolors="none", edgecolors="#BBBBBB", linewidths=1)
        _skeleton(
            panel, target, joint_maps.apply(places(scheme), source, target.name), f"{target.title} ({target.name})"
        )
    _rules(panels[-1], scheme, targets[0])
    sheet.tight_layout()
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png")
    return buffer.getvalue()


def _ink(name: str) -> str:
    return LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else MIDDLE


def _skeleton(panel: Any, scheme: Scheme, at: np.ndarray, title: str) -> None:
    for joint, parent in scheme.edges:
        panel.plot(*at[[joint, parent]].T, color="#BFC7CE", linewidth=2, zorder=1)
    panel.scatter(*at.T, s=16, c=[_ink(name) for name in scheme.joints], zorder=2)
    crowd = np.linalg.norm(at[:, None] - at[None], axis=-1) + 9 * np.eye(len(at))
    for k, (x, y) in enumerate(at):
        outwards = 1 if x > 0.005 else -1
        away = (4 * outwards, 2) if crowd[k].min() > 0.06 else (5 * outwards, (-6, 5)[k % 2])
        panel.annotate(
            str(k), (x, y), away, textcoords="offset points", fontsize=8, color=_ink(scheme.joints[k]),
            ha="left" if outwards > 0 else "right", va="center",
        )  # fmt: skip
    panel.set_title(title, fontsize=11)
    panel.set_aspect("equal")
    panel.set(xlim=(-0.72, 0.72), ylim=(-0.05, 1.9))
    panel.axis("off")


def _rules(panel: Any, source: Scheme, target: Scheme) -> None:
    lines = [f"joints of {target.name}, from 0"]
    skipped = 0
    for k, (name, words) in enumerate(joint_maps.described(source, target)):
        if name.startswith("right_"):
            skipped += 1
            continue
        lines.append(f"{k:2d} {name} = {words}")
    lines += ["", f"the {skipped} joints of the right side: mirrored", "orange: the person's left, blue: right"]
    panel.axis("off")
    panel.set_title("rules", fontsize=11, loc="left")
    wrapped = [part for line in lines for part in _wrapped(line)]
    panel.text(0, 0.98, "\n".join(wrapped), family="monospace", fontsize=7.6, va="top", transform=panel.transAxes)


def _wrapped(line: str, most: int = 66) -> list[str]:
    """A long sum goes on in the next line, at a plus or minus."""
    parts = [""]
    for word in line.split(" + "):
        glued = word if parts == [""] else f"+ {word}"
        if len(parts[-1]) + len(glued) + 1 > most and parts != [""]:
            parts.append(f"      {glued}")
        else:
            parts[-1] = f"{parts[-1]} {glued}".strip() if parts == [""] else f"{parts[-1]} {glued}"
    return parts


def write_all(folder: Path) -> list[Path]:
    """``keypoints-<source>.png`` of every source."""
    written = []
    for source in SOURCES:
        content = draw(source)
        written.append(write_atomically(folder / f"keypoints-{source}.png", lambda file, c=content: file.write(c)))
    return written
