"""GIF, PNG and MP4 of ``dataset_tools/view.py``: sizes, durations, colours, what ffmpeg is given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from viewing import ALONE, PAIR, hues, row_of, view

from skeleton_lab.errors import UsageError
from skeleton_lab.reporting.html.clip_json import project
from skeleton_lab.reporting.viewer import clip_source, export, raster
from skeleton_lab.skeletons.sides import LEFT, MIDDLE, RIGHT, skeleton

Image = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize("fps, frames", [(10, 12), (30, 20), (24, None)])
def test_a_gif_has_the_frames_and_the_duration_asked_for(fps, frames, archive, arrays, tmp_path):
    row = row_of(arrays, PAIR)
    words = ["--frames", frames] if frames else []
    assert view(archive, "--index", row, "--fps", fps, "--size", 160, *words, "--output", tmp_path / "a.gif") == 0
    expected = frames or int(np.flatnonzero(arrays["x_test"][row].any(1))[-1]) + 1
    duration = 0
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == expected and gif.info["loop"] == 0
        for frame in range(expected):
            gif.seek(frame)
            duration += gif.info["duration"]
            assert min(hues(gif)) > 50  # both persons
    assert duration == pytest.approx(1000 * expected / fps, abs=5)


def test_persons_have_colours_and_limbs_have_shades(archive, arrays, tmp_path):
    for label in (PAIR, ALONE):
        assert view(archive, "--label", label, "--output", tmp_path / f"{label}.png") == 0
    pair, alone = (Image.open(tmp_path / f"{label}.png") for label in (PAIR, ALONE))
    assert min(hues(pair)) > 500
    assert hues(alone)[0] > 500 and hues(alone)[1] == 0
    blues = {(0, 114, 178): 0, (86, 180, 233): 0, (0, 66, 112): 0}
    for count, colour in alone.convert("RGB").getcolors(1 << 20):
        if colour in blues:
            blues[colour] = count
    assert min(blues.values()) > 50  # middle, left, right


def test_right_limbs_are_dark_and_left_of_a_body_that_faces_the_camera(tmp_path):
    """An actor of NTU who faces the sensor has the right hand on the left of the picture."""
    sides = skeleton(25).sides
    assert sides[11] == RIGHT and sides[7] == LEFT and sides[20] == MIDDLE
    body = np.zeros((1, 25, 3), np.float32)
    body[0, :, 1] = np.linspace(-1, 1, 25)
    body[0, 11, 0], body[0, 7, 0] = 1, -1  # right hand at +x: Kinect's x points to the left of the picture
    at = project(body, np.zeros(3), np.pi, 0)
    assert at[0, 11, 0] < 0 < at[0, 7, 0]


def test_the_clip_fits_into_its_panel_with_equal_axes(archive, arrays):
    from skeleton_lab.reporting.viewer.clip_view import show
    from skeleton_lab.reporting.viewer.raster import Camera

    found = clip_source.opened(archive, "test")
    for row in range(8):
        shown = show(found, row)
        camera = Camera(shown, (200, 200))
        seen = camera.at[shown.clip.present].reshape(-1, 2)
        span = np.ptp(seen, axis=0)
        assert seen.min() >= 0 and seen.max() <= 200 and span.max() == pytest.approx(0.86 * 200)
        wide = Camera(shown, (2000, 200)).at[shown.clip.present].reshape(-1, 2)
        assert np.ptp(wide, axis=0)[0] / np.ptp(wide, axis=0)[1] == pytest.approx(span[0] / span[1])


def test_a_contact_sheet_grows_with_its_frames(archive, tmp_path):
    for frames in (3, 6):
        assert view(archive, "--frames", frames, "--size", 100, "--output", tmp_path / f"{frames}.png") == 0
    few, many = (Image.open(tmp_path / f"{frames}.png").size for frames in (3, 6))
    assert few[1] == many[1] and many[0] - few[0] == 3 * 102


# --- MP4 -----------------------------------------------------------------------------------------------------------


def test_mp4_without_ffmpeg_is_one_line(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert view(archive, "--output", tmp_path / "a.mp4") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "ffmpeg" in said and ".html" in said
    assert "pip install 'skeleton-lab[video]'" in said


def test_mp4_by_the_program_of_imageio_ffmpeg(archive, tmp_path, monkeypatch):
    program = stand_in(tmp_path, 0) / "ffmpeg"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", SimpleNamespace(get_ffmpeg_exe=lambda: str(program)))
    assert view(archive, "--frames", 3, "--size", 90, "--output", tmp_path / "a.mp4") == 0
    assert (tmp_path / "a.mp4").exists()


FFMPEG = """#!{python}
import sys
from pathlib import Path
words = sys.argv[1:]
size = words[words.index("-s") + 1]
data = sys.stdin.buffer.read()
Path(words[-1]).write_text(f"{{size}} {{words[words.index('-r') + 1]}} {{len(data)}}")
if {code}:
    print("first line"); print("no such codec", file=sys.stderr); sys.exit({code})
"""


def stand_in(folder: Path, code: int) -> Path:
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(FFMPEG.format(python=sys.executable, code=code))
    program.chmod(0o755)
    return program.parent


def test_ffmpeg_gets_every_frame(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(stand_in(tmp_path, 0)))
    words = ("--index", 0, 1, "--frames", 7, "--fps", 12.5, "--size", 90)
    assert view(archive, *words, "--output", tmp_path / "a.mp4") == 0
    size, fps, count = (tmp_path / "a.mp4").read_text().split()
    width, height = map(int, size.split("x"))
    assert fps == "12.5" and int(count) == 7 * 3 * width * height and width % 2 == height % 2 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "bin"]


def test_what_ffmpeg_says_is_told(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(stand_in(tmp_path, 3)))
    assert view(archive, "--frames", 3, "--output", tmp_path / "a.mp4") == 2
    said = capsys.readouterr().err
    assert "ffmpeg ended with code 3" in said and "no such codec" in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_an_mp4_is_one(archive, tmp_path):
    try:
        program = export.ffmpeg()
    except UsageError as error:
        pytest.skip(str(error))
    assert view(archive, "--frames", 10, "--fps", 10, "--size", 120, "--output", tmp_path / "a.mp4") == 0
    seen = subprocess.run([program, "-i", tmp_path / "a.mp4", "-f", "null", "-"], capture_output=True, text=True)
    assert seen.returncode == 0 and "Duration: 00:00:01.00" in seen.stderr and "yuv420p" in seen.stderr


def test_names_in_pictures_keep_both_ends():
    """They begin alike, or end alike: smaller letters first, then the middle goes."""
    drawn = []
    pen = SimpleNamespace(
        textlength=lambda text, font: len(text) * font.size / 2,
        text=lambda at, text, ink, font: drawn.append((text, font.size)),
    )
    for name, letters, size in (
        ("walking towards each other", 26, 15),
        ("walking towards each other", 26, 10),
        ("touch chest (stomachache/heart pain)", 30, 8),
        ("touch chest (headache)", 20, 8),
    ):
        raster.write(pen, (0, 0), name, 15, "black", letters * size / 2)
    assert drawn[:2] == [("walking towards each other", 15), ("walking towards each other", 10)]
    assert drawn[2:] == [("touch chest (s...e/heart pain)", 8), ("touch che...eadache)", 8)]
