"""Clips as pictures, with Pillow: one panel per clip, the camera fitted over the whole clip, equal axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from skeleton_lab.errors import one_line
from skeleton_lab.reporting.html.clip_json import project
from skeleton_lab.reporting.viewer.clip_view import Shown
from skeleton_lab.skeletons.sides import LEFT, MIDDLE, RIGHT

# Per person: the middle of the body, left limbs (light), right limbs (dark). Okabe and Ito's blue and orange.
PERSONS = (
    {MIDDLE: (0, 114, 178), LEFT: (86, 180, 233), RIGHT: (0, 66, 112)},
    {MIDDLE: (196, 78, 0), LEFT: (245, 155, 80), RIGHT: (125, 45, 0)},
)
PAPER, STAGE, RULE, INK, MUTED = (255, 255, 255), (246, 247, 248), (219, 224, 229), (28, 33, 39), (86, 97, 108)
FINE = 2  # drawn so many times larger, then shrunk: smooth lines
FILLED = 0.86  # of a panel, by the clip
ASPECT = 1.5  # width over height that a sheet of panels comes near to
DISTANCE = 6  # of the eye, in half diagonals of the box: a mild perspective, as in ``player.js``
SMALLEST = 8  # letters that can be read
LEGEND = "left limbs light, right limbs dark"


class Camera:
    """Positions on a panel of ``size`` pixels for all frames: ``at`` (T, M, V, 2), ``depth`` (T, M, V)."""

    def __init__(self, shown: Shown, size: tuple[int, int]):
        clip = shown.clip
        yaw, pitch = shown.view
        self.reach = 1.0 if shown.flat else DISTANCE * float(np.hypot(clip.radius, clip.height))
        self.flat, self.view, self.centre = shown.flat, (yaw, pitch), clip.centre
        plane, self.depth = self._plane(clip.points)
        seen = plane[clip.present].reshape(-1, 2)
        low, high = (seen.min(0), seen.max(0)) if len(seen) else (np.full(2, -1.0), np.ones(2))
        span = np.maximum(high - low, 1e-6)
        self.scale = FILLED * float(np.min(np.array(size) / span))
        self.middle, self.size = (low + high) / 2, size
        self.at = self._panel(plane)

    def _plane(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = project(points, self.centre, *self.view)
        grow = np.ones_like(seen[..., 2]) if self.flat else self.reach / np.maximum(self.reach - seen[..., 2], 1e-6)
        return seen[..., :2] * grow[..., None], seen[..., 2]

    def _panel(self, plane: np.ndarray) -> np.ndarray:
        right, up = np.moveaxis((plane - self.middle) * self.scale, -1, 0)
        return np.stack([self.size[0] / 2 + right, self.size[1] / 2 - up], -1)

    def floor(self, radius: float, depth: float) -> np.ndarray:
        """(10, 2, 2) ends of lines on the floor below the clip."""
        steps = np.linspace(-radius, radius, 5)
        ends = [[(k, -depth, -radius), (k, -depth, radius)] for k in steps]
        ends += [[(-radius, -depth, k), (radius, -depth, k)] for k in steps]
        return self._panel(self._plane(np.array(ends) + self.centre)[0])


class Panel:
    """One clip in a square of ``side`` pixels with two lines of text above it and the frame counter below."""

    def __init__(self, shown: Shown, side: int):
        self.shown, self.side = shown, side
        self.text = max(9, min(18, side // 18))
        self.stage = (side, side)
        self.size = (side, side + round(4.4 * self.text))
        self.camera = Camera(shown, (side * FINE, side * FINE))

    def heading(self) -> Image.Image:
        """Class and details, as wide as the panel."""
        made = Image.new("RGB", (self.side, round(2.9 * self.text)), PAPER)
        pen = ImageDraw.Draw(made)
        write(pen, (4, 2), self.shown.title, self.text + 1, INK, self.side - 8)
        write(pen, (4, round(1.5 * self.text)), self.shown.details, self.text - 1, MUTED, self.side - 8)
        return made

    def picture(self, frame: int) -> Image.Image:
        """The whole panel at a frame; a clip that has ended holds its last one."""
        frame = min(frame, len(self.shown.clip.points) - 1)
        made = Image.new("RGB", self.size, PAPER)
        heading = self.heading()
        made.paste(heading, (0, 0))
        made.paste(self.body(frame), (0, heading.height))
        write(ImageDraw.Draw(made), (4, heading.height + self.side + 2), self.counter(frame), self.text, MUTED)
        return made

    def counter(self, frame: int) -> str:
        return f"frame {self.shown.numbers[frame]} / {self.shown.total}"

    def body(self, frame: int) -> Image.Image:
        """The persons of a frame on the stage, the farther ones first."""
        clip = self.shown.clip
        big = Image.new("RGB", self.camera.size, STAGE)
        pen = ImageDraw.Draw(big)
        if not self.shown.flat:
            for line in self.camera.floor(clip.radius, clip.height):
                pen.line([tuple(end) for end in line], fill=RULE, width=FINE)
        there = np.flatnonzero(clip.present[frame])
        for person in there[np.argsort(self.camera.depth[frame, there].mean(-1))]:
            self._person(pen, frame, int(person))
        return big.reduce(FINE)

    def _person(self, pen: ImageDraw.ImageDraw, frame: int, person: int) -> None:
        at, skeleton = self.camera.at[frame, person], self.shown.skeleton
        inks = PERSONS[person % len(PERSONS)]
        width = max(2, round(self.side / 90)) * FINE
        depth = self.camera.depth[frame, person]
        found = self.shown.found[frame, person]
        for joint, above in sorted(skeleton.edges, key=lambda edge: depth[edge[0]] + depth[edge[1]]):
            if found[joint] and found[above]:
                ends = [tuple(at[joint]), tuple(at[above])]
                pen.line(ends, fill=inks[skeleton.side((joint, above))], width=width)
        radius = 0.75 * width
        for joint in np.flatnonzero(found):
            x, y = at[joint]
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=inks[skeleton.sides[joint]])


@lru_cache(maxsize=32)
def _font(size: int):
    return ImageFont.load_default(size)


def write(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, ink, width: float = np.inf) -> None:
    """Text of at most ``width`` pixels: longer ones are smaller; what is still too long loses its middle.

    Names of classes often begin alike, so their ends stay.
    """
    text = one_line(text)
    font = next((font for font in map(_font, range(size, SMALLEST, -1)) if pen.textlength(text, font) <= width), None)
    if font is None:
        font, whole = _font(min(size, SMALLEST)), text
        for kept in range(len(whole), 0, -1):
            if pen.textlength(text, font) <= width:
                break
            text = f"{whole[: (kept + 1) // 2]}...{whole[len(whole) - kept // 2 :]}"
    pen.text(at, text, ink, font)


def columns(count: int, width: float, height: float) -> int:
    """How many of ``count`` things of a size stand side by side so that the whole has about the aspect of a screen."""
    return max(1, min(count, round((count * height * ASPECT / width) ** 0.5)))


class Sheet:
    """Panels of all clips at one time, ``across`` of them side by side: the pictures of a GIF or an MP4."""

    def __init__(self, clips: Sequence[Shown], side: int, across: int | None = None):
        self.panels = [Panel(shown, side) for shown in clips]
        width, height = self.panels[0].size
        self.across = across or columns(len(clips), width, height)
        gap = max(4, side // 40)
        self.step = (width + gap, height + gap)
        rows = -(-len(clips) // self.across)
        # Even numbers of pixels: what most players of MP4 can show.
        self.size = tuple(n + n % 2 for n in (self.across * self.step[0] + gap, rows * self.step[1] + gap + 16))
        self.gap = gap

    def picture(self, frame: int) -> Image.Image:
        made = Image.new("RGB", self.size, PAPER)
        for k, panel in enumerate(self.panels):
            row, column = divmod(k, self.across)
            made.paste(panel.picture(frame), (self.gap + column * self.step[0], self.gap + row * self.step[1]))
        return _with_legend(made)


def contact_sheet(clips: Sequence[Shown], side: int, count: int) -> Image.Image:
    """Strips of ``count`` evenly spaced frames of every clip."""
    panels = [Panel(shown, side) for shown in clips]
    strips = [_strip(panel, count) for panel in panels]
    width, height = max(strip.width for strip in strips), strips[0].height
    across = columns(len(strips), width, height)
    gap = max(6, side // 20)
    rows = -(-len(strips) // across)
    made = Image.new("RGB", (across * (width + gap) + gap, rows * (height + gap) + gap + 16), PAPER)
    for k, strip in enumerate(strips):
        row, column = divmod(k, across)
        made.paste(strip, (gap + column * (width + gap), gap + row * (height + gap)))
    return _with_legend(made)


def _strip(panel: Panel, count: int) -> Image.Image:
    frames = np.unique(np.linspace(0, len(panel.shown.clip.points) - 1, count).round().astype(int))
    space = 2
    head = round(2.9 * panel.text)
    made = Image.new("RGB", (len(frames) * (panel.side + space), panel.size[1]), PAPER)
    pen = ImageDraw.Draw(made)
    write(pen, (4, 2), panel.shown.title, panel.text + 1, INK, made.width - 8)
    write(pen, (4, round(1.5 * panel.text)), panel.shown.details, panel.text - 1, MUTED, made.width - 8)
    for k, frame in enumerate(frames):
        left = k * (panel.side + space)
        made.paste(panel.body(frame), (left, head))
        write(pen, (left + 4, head + panel.side + 2), panel.counter(frame), panel.text, MUTED)
    return made


def _with_legend(made: Image.Image) -> Image.Image:
    write(ImageDraw.Draw(made), (6, made.height - 17), LEGEND, 12, MUTED, made.width - 10)
    return made
