"""The reader of ``.skeleton`` text and of Kinetics clips: what it takes, and what it says about damaged files."""

from __future__ import annotations

import gzip
import json
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_helpers import KINETICS, RAW, run, sources

from skeleton_lab.data.archives.ntu_protocol import DATASETS
from skeleton_lab.data.archives.prenormalize import normalise
from skeleton_lab.data.archives.readers.kinetics import open_kinetics
from skeleton_lab.data.preprocessing import actors, denoise, openpose_json, person_slots, pyskl_persons, skeleton_text
from skeleton_lab.data.preprocessing import recordings as places
from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.data.synthetic import skeleton_files
from skeleton_lab.errors import LabError

NAME = "S003C001P007R002A058"
TEXT = (RAW / f"{NAME}.skeleton").read_bytes()
SMALL = (RAW / "S008C003P001R001A010.skeleton").read_bytes()
CLIP = (KINETICS / "kinetics_train" / "Ab1syntheticA.json").read_bytes()


def naive(text: bytes) -> list[list[tuple[str, np.ndarray]]]:
    """Per frame the list of (id, (25, 12)), line by line as the grammar says."""
    lines = iter(text.decode().splitlines())
    frames = []
    for _ in range(int(next(lines))):
        frames.append([])
        for _ in range(int(next(lines))):
            head = next(lines).split()
            joints = [[float(field) for field in next(lines).split()] for _ in range(int(next(lines)))]
            frames[-1].append((head[0], np.array(joints)))
    return frames


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_reads_what_is_written(source):
    recording = skeleton_text.read(source, colors=True)
    frames = naive(source.read())
    assert recording.frames == len(frames)
    for rows, told in zip(recording.rows(), frames):
        assert [recording.ids[row] for row in rows] == [name for name, _ in told]
        for row, (_, joints) in zip(rows, told):
            np.testing.assert_array_equal(recording.joints[row], joints[:, :3])
            np.testing.assert_array_equal(recording.colors[row], joints[:, 5:7].astype(np.float32))


def test_line_ends_blanks_and_exponents():
    expected = skeleton_text.parse(SMALL)
    for text in (
        SMALL.replace(b"\r\n", b"\n"),
        SMALL + b"\r\n \r\n\n",
        SMALL.rstrip(),
        SMALL.replace(b" ", b"  "),
        SMALL.replace(b" ", b"\t"),
    ):
        np.testing.assert_array_equal(skeleton_text.parse(text).joints, expected.joints)
    lines = SMALL.split(b"\r\n")
    lines[4] = b"1.5e-05 -2E0 +3 " + lines[4].split(None, 3)[3]
    np.testing.assert_array_equal(skeleton_text.parse(b"\n".join(lines)).joints[0, 0], [1.5e-05, -2, 3])


def _changed(line: int, text: bytes) -> bytes:
    lines = SMALL.split(b"\r\n")
    lines[line - 1] = text
    return b"\r\n".join(lines)


FIELDS = SMALL.split(b"\r\n")[4].split()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1: the number of frames expected, but the file ends"),
        (b"\x00\xff\xfe", "line 1: the number of frames"),
        (b"0\n", "line 1: a recording without frames"),
        (b"4000000000\n0\n", "line 1: the number of frames expected, not '4000000000'"),
        (b"400000000\n0\n", "line 3: the number of bodies expected, but the file ends"),
        (b"1\n900000000\n", "line 3: a body of 10 fields expected, but the file ends"),
        (_changed(2, b"-1"), "line 2: the number of bodies expected, not '-1'"),
        (_changed(2, b"one"), "line 2: the number of bodies expected, not 'one'"),
        (_changed(3, b"7.2e16 0 0 0 0 0 0 0 0 2"), "line 3: a body of 10 fields with its id"),
        (_changed(3, b"72057594037908001 0 0"), "line 3: a body of 10 fields"),
        (_changed(4, b"24"), "line 4: 25 joints expected, not '24'"),
        (_changed(5, b" ".join(FIELDS[:11])), "line 5: joint 0 of 25 with 12 fields"),
        (_changed(7, b" ".join([*FIELDS, b"0"])), "line 7: joint 2 of 25 with 12 fields"),
        (_changed(9, b""), "line 9: joint 4 of 25 with 12 fields expected, not an empty line"),
        (_changed(6, b"x " + b" ".join(FIELDS[1:])), "line 6: a number expected, not 'x'"),
        (_changed(6, b"1_0 " + b" ".join(FIELDS[1:])), "line 6: numbers expected"),
        (_changed(8, b"nan " + b" ".join(FIELDS[1:])), "line 8: a coordinate in metres"),
        (_changed(8, b"-1e5 " + b" ".join(FIELDS[1:])), "line 8: a coordinate in metres"),
        (SMALL[:2000], "25 with 12 fields"),
        (SMALL + b"1\r\n", "the end expected after 3 frames, not '1'"),
    ],
)
def test_says_where_a_file_is_damaged(text, says):
    with pytest.raises(ValueError, match=r"^line") as caught:
        skeleton_text.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_body_without_joints_is_nobody():
    """The rest of the frame, and the recording, are read as if it were not listed."""
    lines = SMALL.split(b"\r\n")
    bodies_of_first = int(lines[1])
    lines[1] = b"%d" % (bodies_of_first + 1)
    lines[2:2] = [lines[2].replace(lines[2].split()[0], b"99"), b"0"]
    got, expected = skeleton_text.parse(b"\r\n".join(lines), colors=True), skeleton_text.parse(SMALL, colors=True)
    assert got.ids == expected.ids and np.array_equal(got.starts, expected.starts)
    np.testing.assert_array_equal(got.joints, expected.joints)
    np.testing.assert_array_equal(got.colors, expected.colors)


def test_columns_that_nobody_uses_may_be_broken():
    """Some published recordings have no numbers there."""
    text = _changed(5, b" ".join([*FIELDS[:7], b"-1.#IND", *FIELDS[8:]]))
    np.testing.assert_array_equal(skeleton_text.parse(text).joints, skeleton_text.parse(SMALL).joints)


def _through(text: bytes) -> None:
    """Whatever the bytes, every pipeline gives a clip or a LabError with one line."""
    source = Source(NAME, "x.skeleton", "", 0, 0)
    try:
        try:
            recording = skeleton_text.parse(text)
        except ValueError as error:
            assert str(error).startswith("line ")
            return
        assert np.isfinite(normalise(person_slots.liveliest(person_slots.slots(recording, 4)))).all()
        clip = denoise.denoise(source.name, actors.scene(recording))
        assert np.isfinite(denoise.translate(clip.joints)).all()
        pyskl_persons.key_points(actors.scene(recording))
    except LabError as error:
        assert str(error)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SMALL)), st.integers(0, 40), st.binary(max_size=12)), min_size=1, max_size=4)
)
def test_damaged_recordings(changes):
    text = SMALL
    for at, cut, put in changes:
        text = text[:at] + put + text[at + cut :]
    _through(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 83), st.sampled_from(["drop", "twice", "number", "joint"])), max_size=4),
    st.sampled_from(["0", "1", "2", "25", "26", "-1", "1e9", "nan", "inf", "1e308", "", "٣", "0x1"]),
)
def test_damaged_lines(changes, put):
    lines = SMALL.split(b"\r\n")
    for at, how in changes:
        at = min(at, len(lines) - 1)
        if how == "drop":
            del lines[at]
        elif how == "twice":
            lines.insert(at, lines[at])
        else:
            fields = lines[at].split()
            lines[at] = put.encode() if how == "number" else b" ".join([put.encode(), *fields[1:]])
    _through(b"\r\n".join(lines))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(text):
    _through(text)
    for source in (text, CLIP[: len(text)] + text):
        with pytest.raises(LabError):
            openpose_json.clip(source, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["data", "label_index", "frame_index", "skeleton", "pose", "score"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from(["data", "label_index", "frame_index", "skeleton", "pose", "score"]))
def test_damaged_clips(put, key):
    content = json.loads(CLIP)
    if key in content:
        content[key] = put
    elif key in content["data"][3]:
        content["data"][3][key] = put
    else:
        content["data"][3]["skeleton"][0][key] = put
    try:
        x, _, _ = openpose_json.clip(json.dumps(content).encode(), True)
        assert np.isfinite(x).all()
    except LabError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("nobody", [None, [], [{"pose": [], "score": []}], [{"pose": None, "score": None}]])
def test_frames_of_nobody_and_people_without_a_body(nobody, tmp_path):
    """What OpenPose writes of hands alone: the rest of the clip is read, by the pipeline and by the feeder's reader."""
    content = json.loads(CLIP)
    frames = content["data"]
    frames[0]["skeleton"] = frames[5]["skeleton"] = nobody
    if nobody:
        frames[3]["skeleton"].append(nobody[0])
    text = json.dumps(content)
    x, label, _ = openpose_json.clip(text.encode(), True)
    whole, same, _ = openpose_json.clip(CLIP, True)
    times = [frames[k]["frame_index"] for k in (0, 5)]
    whole[:, times] = 0
    assert label == same and np.array_equal(x, whole)
    (tmp_path / "clips").mkdir()
    entry = {"has_skeleton": True, "label_index": label}
    (tmp_path / "labels.json").write_text(json.dumps({"a": entry, "b": entry}))
    for name, content in {"a": text, "b": CLIP.decode()}.items():
        (tmp_path / "clips" / f"{name}.json").write_text(content)
    clips = open_kinetics(tmp_path / "clips", tmp_path / "labels.json", cache_dir=tmp_path / "cache")
    read, expected = clips.gather(np.arange(2), np.tile(np.arange(300), (2, 1)))  # (T, M, V, C)
    expected[times] = 0
    np.testing.assert_array_equal(read, expected)


def test_memory_of_a_lying_file():
    tracemalloc.start()
    with pytest.raises(ValueError, match="the file ends"):
        skeleton_text.parse(b"999999999\n0\n0\n")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_gzipped_and_zipped_recordings(tmp_path):
    for folder in ("gz", "plain"):
        (tmp_path / folder).mkdir()
    with zipfile.ZipFile(tmp_path / "recordings.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in RAW.glob("S00*.skeleton"):
            (tmp_path / "gz" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            shutil.copy(path, tmp_path / "plain")
            archive.write(path, f"nturgb+d_skeletons/{path.name}")
        archive.writestr("nturgb+d_skeletons/readme.txt", "?")
    made = []
    for raw in ("plain", "gz", "recordings.zip"):
        assert run("ntu60", "--raw", tmp_path / raw, "--out", tmp_path / f"out-{raw}", "--n_cores", "1") == 0
        made.append((tmp_path / f"out-{raw}" / "NTU60_CS.npz").read_bytes())
    assert made[0] == made[1] == made[2]


def test_what_a_folder_holds(tmp_path, capsys):
    with pytest.raises(LabError, match="does not exist"):
        places.listed(tmp_path / "nowhere")
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(LabError, match=r"x\.zip"):
        places.listed(tmp_path / "x.zip")
    (tmp_path / "raw").mkdir()
    for name in ("notes.txt", "S001.skeleton", "S019C002P041R002A106.skeleton", "S001C002P005R002A008.skeleton"):
        (tmp_path / "raw" / name).touch()
    ntu60 = DATASETS["ntu60"]
    with pytest.raises(LabError, match="1 of another data set, 1 on the list"):
        places.recordings(ntu60, [tmp_path / "raw"], ntu60.missing())
    skeleton_files.write(tmp_path / "raw", 3, show=False)
    found = places.recordings(ntu60, [tmp_path / "raw"] * 2, ntu60.missing())
    assert len(found) == 3
    assert "3 recordings left out: there twice" in capsys.readouterr().out


def test_lists_of_missing_skeletons(tmp_path, capsys):
    ntu60 = DATASETS["ntu60"]
    assert places.ignored_names(ntu60, None, tmp_path / "list.txt") == ntu60.missing()
    assert "packaged list" in capsys.readouterr().out
    with pytest.raises(LabError, match=r"list\.txt does not exist"):
        places.ignored_names(ntu60, tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("S001C001P001R001A001\n")
    assert places.ignored_names(ntu60, None, tmp_path / "list.txt") == {"S001C001P001R001A001"}


def test_a_recording_that_is_no_recording(tmp_path):
    path = tmp_path / f"{NAME}.skeleton.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(65):
            file.write(bytes(1 << 20))
    with pytest.raises(LabError, match="more than 64 MB"):
        skeleton_text.read(Source(NAME, str(path), "", 0, 0))
    path.write_bytes(gzip.compress(TEXT)[:3000])
    with pytest.raises(LabError, match=NAME):
        skeleton_text.read(Source(NAME, str(path), "", 0, 0))


def test_nobody_or_nothing():
    empty = skeleton_text.parse(b"3\n0\n0\n0\n")
    with pytest.raises(LabError, match="nobody"):
        actors.scene(empty)
    assert not normalise(person_slots.liveliest(person_slots.slots(empty, 4))).any()
    zero = np.zeros((4, 2, 25, 3), np.float32)
    scene = actors.scene(
        skeleton_text.parse(skeleton_files.text(zero + skeleton_files.DISTANCE, np.array([[1, 0]] * 4, bool)))
    )
    scene.bodies[0].joints[:] = 0
    with pytest.raises(LabError, match="at zero"):
        denoise.denoise(NAME, scene)


def test_one_id_twice_in_a_frame():
    """The published script stops there; the first one counts."""
    joints = np.random.default_rng(0).normal(size=(3, 2, 25, 3)) + skeleton_files.DISTANCE
    text = skeleton_files.text(joints, np.ones((3, 2), bool)).replace(
        str(skeleton_files.IDS + 1).encode(), b"%d" % skeleton_files.IDS
    )
    scene = actors.scene(skeleton_text.parse(text))
    assert len(scene.bodies) == 1 and len(scene.bodies[0].joints) == 3
    assert scene.warnings == ["one id twice in a frame, 3 times: the first counts"]
