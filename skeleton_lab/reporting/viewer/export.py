"""Sheets of panels as GIF, MP4 and PNG files."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.reporting.viewer.raster import Sheet
from skeleton_lab.utils.atomic import completed, write_atomically

FASTEST_GIF = 50  # frames/s: its unit is 10 ms, and players slow down what is shown for less than 20
GIF_PIXELS = 600_000_000  # of all frames: Pillow keeps them, a byte each
COLOURS = 128
SAMPLES = 6  # frames that the colours of a GIF are taken from


def gif_durations(count: int, fps: float) -> list[int]:
    """Milliseconds of each frame, multiples of 10, that add up to ``count / fps`` seconds as nearly as they can."""
    ends = [round(100 * (k + 1) / fps) for k in range(count)]
    return [10 * (end - start) for start, end in zip([0, *ends], ends)]


def write_gif(path: Path, sheet: Sheet, count: int, fps: float, bar: tqdm) -> Path:
    """An endless GIF of ``count`` frames.

    Raises:
        UsageError: GIF cannot be as fast, or the pictures would not fit into memory.
    """
    if fps > FASTEST_GIF:
        raise UsageError(f"--fps {fps:g}: a GIF shows at most {FASTEST_GIF} frames per second; take .mp4 or .html")
    width, height = sheet.size
    most = GIF_PIXELS // (width * height)
    if count > most:
        raise UsageError(
            f"{path}: {count} frames of {width} x {height} are too much for a GIF; give --frames {most}, a smaller "
            "--size, or write .mp4 or .html"
        )
    palette = _palette(sheet, count)

    def frames() -> Iterator[Image.Image]:
        for frame in range(count):
            bar.update()
            yield sheet.picture(frame).quantize(palette=palette, dither=Image.Dither.NONE)

    made = frames()
    first = next(made)
    options = dict(save_all=True, append_images=made, duration=gif_durations(count, fps), loop=0, disposal=1)
    return write_atomically(path, lambda file: first.save(file, "GIF", **options))


def _palette(sheet: Sheet, count: int) -> Image.Image:
    """Colours that frames all over the clips need."""
    width, height = sheet.size
    several = Image.new("RGB", (width, height * SAMPLES))
    for k in range(SAMPLES):
        several.paste(sheet.picture(k * (count - 1) // (SAMPLES - 1)), (0, k * height))
    several.thumbnail((1600, 1600), Image.Resampling.NEAREST)
    return several.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def write_png(path: Path, picture: Image.Image) -> Path:
    return write_atomically(path, lambda file: picture.save(file, "PNG"))


def ffmpeg() -> str:
    """The program that makes MP4 files: that on PATH, else the one that the package imageio-ffmpeg brings.

    Raises:
        UsageError: there is neither.
    """
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:  # RuntimeError: a package without the program
        raise UsageError(
            "an .mp4 needs ffmpeg, which is not on PATH: pip install 'skeleton-lab[video]' brings one (or apt-get "
            "install ffmpeg), or write .html or .gif"
        ) from error


def write_mp4(path: Path, sheet: Sheet, count: int, fps: float, bar: tqdm) -> Path:
    """An MP4 in ffmpeg's own choice of codec, in colours that all players show.

    Raises:
        UsageError: there is no ffmpeg. LabError: it failed; the message has its last line.
    """
    program = ffmpeg()
    width, height = sheet.size
    with completed(path, ".mp4") as file:
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
        coded = ["-an", "-pix_fmt", "yuv420p", "-movflags", "+faststart", file.name]
        command = [program, "-v", "error", "-nostdin", "-y", *raw, *coded]
        with tempfile.TemporaryFile() as said:
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said) as run:
                _feed(run, sheet, count, bar)
            if run.returncode:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines() or ["no message"]
                raise LabError(f"{path}: ffmpeg ended with code {run.returncode}: {lines[-1]}")
    return path


def _feed(run: subprocess.Popen, sheet: Sheet, count: int, bar: tqdm) -> None:
    try:
        for frame in range(count):
            run.stdin.write(sheet.picture(frame).tobytes())
            bar.update()
        run.stdin.close()
    except BrokenPipeError:
        return  # its exit code and message tell why
