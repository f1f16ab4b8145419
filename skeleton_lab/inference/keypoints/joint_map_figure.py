"""One picture per map: the joints of the source and of both targets on the same figure, and every rule in words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.skeletons import joint_maps
from skeleton_lab.skeletons.schemes import SCHEMES, Scheme, other_side
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.importing import optional

LEFT, RIGHT, MIDDLE = "#D55E00", "#0072B2", "#444444"  # Okabe and Ito's, apart for the colour blind too
SOURCES = tuple(name for name in joint_maps.TO_NTU if name != "ntu25")
# A person who stands before the viewer, x to the viewer's right, in metres: the middle and the left side.
FIGURE: dict[str, tuple[float, float]] = {
    "spine_base": (0, 0.96), "mid_hip": (0, 0.96), "pelvis": (0, 0.96), "spine_mid": (0, 1.2), "spine": (0, 1.2),
    "spine_shoulder": (0, 1.44), "thorax": (0, 1.44), "neck": (0, 1.44), "nose": (0, 1.62), "head": (0, 1.68),
    "head_top": (0, 1.84), "left_eye": (0.045, 1.69), "left_eye_inner": (0.022, 1.665), "left_eye_outer": (0.07, 1.7),
    "left_ear": (0.1, 1.66), "left_mouth": (0.03, 1.56), "left_shoulder": (0.2, 1.43), "left_elbow": (0.36, 1.18),
    "left_wrist": (0.5, 0.97), "left_hand": (0.545, 0.905), "left_hand_tip": (0.6, 0.82), "left_thumb": (0.51, 0.86),
    "left_pinky": (0.585, 0.88), "left_index": (0.555, 0.85), "left_hip": (0.11, 0.94), "left_knee": (0.15, 0.52),
    "left_ankle": (0.18, 0.12), "left_foot": (0.2, 0.03), "left_heel": (0.165, 0.05), "left_big_toe": (0.22, 0.02),
    "left_small_toe": (0.27, 0.03), "left_foot_index": (0.25, 0.02),
}  # fmt: skip


def figure(scheme: Scheme) -> np.ndarray:
    """(V, 2) places of the joints of the standing figure."""
    places = []
    for name in scheme.joints:
        x, y = FIGURE[other_side(name) if name.startswith("right_") else name]
        places.append((-x if name.startswith("right_") else x, y))
    return np.array(places)


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
    _skeleton(panels[0], scheme, figure(scheme), f"{scheme.title} ({source})")
    for panel, target in zip(panels[1:], targets):
        panel.scatter(*figure(scheme).T, s=90, facecolors="none", edgecolors="#BBBBBB", linewidths=1)
        _skeleton(
            panel, target, joint_maps.apply(figure(scheme), source, target.name), f"{target.title} ({target.name})"
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
