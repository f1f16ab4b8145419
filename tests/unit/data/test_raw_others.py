"""UAV-Human and PKU-MMD through ``prepare``: files written here, arrays known beforehand, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_helpers import run

from skeleton_lab.data.archives.opening import open_archive


def uav_text(x: np.ndarray) -> str:
    """A recording of bodies (F, B, V, 3); a body of zeros is not there."""
    lines = [str(len(x))]
    for frame in x:
        bodies = [body for body in frame if body.any()]
        lines.append(str(len(bodies)))
        for number, body in enumerate(bodies):
            lines += [f"{number} 0 0 0 0 0 0 0 0 2", str(len(body))]
            lines += [f"{a!r} {b!r} {c!r} 0 0 0 0 0 0 0 0 2" for a, b, c in body.tolist()]
    return "\n".join(lines) + "\n"


def uav_name(subject: int, action: int) -> str:
    return f"P{subject:03}S00G10B10H50UC022LC021A{action:03}R0_08241716"


@pytest.fixture
def uav(tmp_path) -> dict[str, np.ndarray]:
    """Six recordings of three subjects in tmp_path/raw, the scores in the third place; the arrays by name."""
    rng, made = np.random.default_rng(0), {}
    (tmp_path / "raw").mkdir()
    for i, (subject, action) in enumerate([(0, 0), (0, 154), (2, 3), (2, 0), (7, 3), (7, 154)]):
        x = rng.uniform(100, 900, (4 + i, 2, 17, 3)).round(2)
        x[..., 2] = rng.uniform(0, 1, x.shape[:-1]).round(3)
        x[:, 0, :, :2] += 300 * np.arange(4 + i)[:, None, None]  # the first moves most, so it stays the first
        x[:, 1] *= i % 2
        made[uav_name(subject, action)] = x
        (tmp_path / "raw" / f"{uav_name(subject, action)}.txt").write_text(uav_text(x))
    (tmp_path / "CSv1.txt").write_text("# training\n[0, 2]\n")
    return made


def prepare_uav(folder: Path, *more: object) -> int:
    return run("uav", "--raw", folder / "raw", "--split", folder / "CSv1.txt", "--out", folder / "out", *more)


def test_uav_human(uav, tmp_path, capsys):
    (tmp_path / "raw" / "README.txt").write_text("not a recording")
    assert prepare_uav(tmp_path) == 0
    with np.load(tmp_path / "out" / "uav_CSv1.npz") as stored:
        assert {key: str(stored[key]) for key in ("skeleton", "channels", "units")} == {
            "skeleton": "uav17", "channels": "xys", "units": "px",
        }  # fmt: skip
        assert stored["x_train"].shape == (4, 3, 9, 17, 2) and stored["x_test"].shape == (2, 3, 9, 17, 2)
        seen = {}
        for part in ("train", "test"):
            for row in zip(*(stored[f"{key}_{part}"] for key in ("name", "y", "subject", "x"))):
                seen[row[0]] = (part, *row[1:])
    assert list(seen) == [
        *sorted(name for name in uav if name < "P007"),
        *sorted(name for name in uav if name >= "P007"),
    ]
    for name, x in uav.items():
        part, label, subject, stored = seen[name]
        assert part == ("test" if name.startswith("P007") else "train") and subject == name[:4]
        assert label == int(name.split("A")[1][:3])
        np.testing.assert_allclose(stored[:, : len(x)], x.transpose(3, 0, 2, 1), rtol=1e-6)
        assert not stored[:, len(x) :].any()
    clips = open_archive(tmp_path / "out" / "uav_CSv1.npz", "test")
    assert (clips.V, clips.C, len(clips)) == (17, 3, 2) and clips.labels.tolist() == [3, 154]
    assert "skipped" not in capsys.readouterr().err


def test_uav_human_in_depth_and_with_damage(uav, tmp_path, capsys):
    """Third numbers beyond 1 are no scores; a recording that is damaged, or of no class, is left out by name."""
    raw = tmp_path / "raw"
    deep = uav[uav_name(0, 0)].copy()
    deep[..., 2] += 2
    (raw / f"{uav_name(0, 0)}.txt").write_text(uav_text(deep))
    (raw / f"{uav_name(2, 155)}.txt").write_text(uav_text(deep))
    (raw / f"{uav_name(2, 3)}.txt").write_text(uav_text(deep[:, :, :16]))
    assert prepare_uav(tmp_path, "--frames", 8, "--truncate") == 0
    with np.load(tmp_path / "out" / "uav_CSv1.npz") as stored:
        assert str(stored["channels"]) == "xyz" and stored["x_train"].shape == (3, 3, 8, 17, 2)
    told = (tmp_path / "out" / "skipped-uav-CSv1.txt").read_text()
    assert "action 155: there are 155, from 000 on" in told
    assert f"{uav_name(2, 3)}.txt, line 4: 17 joints expected, not '16'" in told and told.count("\n") == 2
    assert prepare_uav(tmp_path, "--on-error", "raise") == 2
    assert capsys.readouterr().err.count("cannot be used") == 2


@pytest.mark.parametrize(("text", "words"), [
    ("", "numbers of training subjects expected (0, 2 or P000, P002), nothing is in it"),
    ("0, two", "CSv1.txt: numbers of training subjects expected (0, 2 or P000, P002), not 'two'"),
    ("P011", "none of 6 recordings is there to train on"),
    ("0 2 7", "none of 6 recordings is there to test with"),
])  # fmt: skip
def test_wrong_lists_of_subjects(uav, tmp_path, capsys, text, words):
    (tmp_path / "CSv1.txt").write_text(text)
    assert prepare_uav(tmp_path) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


# --- PKU-MMD -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pku(tmp_path) -> dict[str, np.ndarray]:
    """Three videos of 12 frames in tmp_path/raw with labels beside; (12, 2, 25, 3) by name."""
    rng, made = np.random.default_rng(0), {}
    for folder in ("raw", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("0002-L", "0002-R", "0003-M"):
        x = rng.normal(size=(12, 2, 25, 3)).round(4)
        x[6:, 1] = 0
        made[name] = x
        lines = [" ".join(map(str, frame.ravel())) for frame in x]
        (tmp_path / "raw" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        (tmp_path / "labels" / f"{name}.txt").write_text("1,0,5,2\n51,6,10,1\n\n")
    (tmp_path / "split.txt").write_text("Training videos:\n0002-L, 0003-M,\nValidation videos:\n0002-R\n")
    return made


def prepare_pku(folder: Path, *more: object) -> int:
    places = ("--raw", folder / "raw", "--labels", folder / "labels", "--split", folder / "split.txt")
    return run("pku-mmd", *places, "--out", folder / "out", *more)


@pytest.mark.parametrize("split", [None, "0002-L\n0003-M\n"], ids=["both named", "training named"])
def test_pku_mmd(pku, tmp_path, split):
    if split:
        (tmp_path / "split.txt").write_text(split)
    assert prepare_pku(tmp_path) == 0
    with np.load(tmp_path / "out" / "pku-mmd_split.npz") as stored:
        assert [str(stored[key]) for key in ("skeleton", "channels", "units")] == ["ntu25", "xyz", "m"]
        assert stored["name_train"].tolist() == ["0002-L_001", "0002-L_002", "0003-M_001", "0003-M_002"]
        assert stored["name_test"].tolist() == ["0002-R_001", "0002-R_002"]
        assert stored["y_train"].tolist() == [0, 50, 0, 50] and "subject_train" not in stored.files
        assert stored["x_train"].shape == (4, 3, 5, 25, 2)
        np.testing.assert_allclose(stored["x_test"][0], pku["0002-R"][:5].transpose(3, 0, 2, 1), rtol=1e-6)
        second = stored["x_train"][3]
        np.testing.assert_allclose(second[:, :4], pku["0003-M"][6:10].transpose(3, 0, 2, 1), rtol=1e-6)
        assert not second[:, 4:].any() and not second[..., 1].any()


def test_pku_mmd_intervals_beyond_the_video_and_videos_without_labels(pku, tmp_path, capsys):
    (tmp_path / "labels" / "0002-L.txt").write_text("3,10,20,2\n4,12,15,2\n")
    (tmp_path / "labels" / "0003-M.txt").unlink()
    assert prepare_pku(tmp_path) == 0
    error = capsys.readouterr().err
    assert "0002-L: interval 1 ends at frame 20 of 12: cut there" in error
    assert "0002-L: interval 2 left out: frames 12 to 15 of 12 show nobody" in error
    assert "no label file of this name" in (tmp_path / "out" / "skipped-pku-mmd-split.txt").read_text()
    with np.load(tmp_path / "out" / "pku-mmd_split.npz") as stored:
        assert stored["name_train"].tolist() == ["0002-L_001"] and stored["x_train"].shape[2] == 5


@pytest.mark.parametrize(("file", "text", "words"), [
    ("labels/0002-L.txt", "1,0,5,2\n52,6,10,1\n", "0002-L.txt, line 2: class,start,end,confidence expected"),
    ("labels/0002-L.txt", "1,5,5,2\n", "start before end, not '1,5,5,2'"),
    ("split.txt", "Training videos:\n", "names of training videos expected, such as 0002-L"),
    ("split.txt", "0002-L\nTest\n0002-L\n", "0002-L is named for training and for the test"),
    ("split.txt", "0009-L\nTest\n0008-L\n", "names none of the 3 videos"),
])  # fmt: skip
def test_wrong_files_of_pku_mmd(pku, tmp_path, capsys, file, text, words):
    (tmp_path / file).write_text(text)
    assert prepare_pku(tmp_path) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(("line", "words"), [
    ("1 2 3", "line 13: 150 numbers expected, not 3"), ("x " * 150, "line 13: 150 numbers expected, not words"),
    ("nan " * 150, "line 13: coordinates in metres expected"),
])  # fmt: skip
def test_a_damaged_video_is_left_out(pku, tmp_path, line, words):
    with (tmp_path / "raw" / "0002-L.txt").open("a") as file:
        file.write(line + "\n")
    assert prepare_pku(tmp_path) == 0
    assert words in (tmp_path / "out" / "skipped-pku-mmd-split.txt").read_text()


@pytest.mark.parametrize(("flags", "words"), [
    (["uav"], "uav needs --split"),
    (["pku-mmd", "--split", "s"], "pku-mmd needs --labels"),
    (["uav", "--split", "s", "--bones"], "--bones has no effect with uav: leave it out"),
    (["uav", "--split", "s", "--pipeline", "ctrgcn"], "--pipeline has no effect with uav"),
    (["ntu60", "--split", "s"], "--split has no effect with ntu60"),
    (["uav", "--split", "nowhere.txt"], "nowhere.txt does not exist"),
])  # fmt: skip
def test_flags_of_other_data_sets(tmp_path, monkeypatch, capsys, flags, words):
    monkeypatch.chdir(tmp_path)
    assert run(*flags, "--raw", ".", "--out", "out") == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
