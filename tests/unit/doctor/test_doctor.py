"""The doctor finds planted faults, one at a time, and passes clean files in every layout."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from skeleton_lab.data.archives import ntu_published
from skeleton_lab.data.archives.convert import convert
from skeleton_lab.data.archives.ntu_protocol import row_names, sample
from skeleton_lab.data.synthetic import archive
from skeleton_lab.doctor.diagnosis import ERROR, WARNING
from skeleton_lab.doctor.examine import examine
from skeleton_lab.errors import ArchiveNotFoundError, UsageError

FRAMES = 60


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clean") / "mine.npz"
    archive.write(path, train=120, test=40, classes=8, frames=FRAMES, progress=False)
    return path


@pytest.fixture(scope="module")
def arrays(clean) -> dict[str, np.ndarray]:
    with np.load(clean) as file:
        return dict(file)


def five(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1, 2, 25, 3).transpose(0, 4, 1, 3, 2)


def without_names(arrays):
    return {key: value for key, value in arrays.items() if not key.startswith("name_")}


def as_five(arrays, axes, shape):
    """A 5-D file whose 150 columns were read as ``shape``, then transposed to (N, C, T, V, M)."""
    made = without_names(arrays)
    for split in ("train", "test"):
        x = arrays[f"x_{split}"]
        made[f"x_{split}"] = x.reshape(len(x), FRAMES, *shape).transpose(axes)
        made[f"y_{split}"] = arrays[f"y_{split}"].argmax(1)
    return made


def changed(arrays, key, change):
    return arrays | {key: change(arrays[key].copy())}


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def swap_persons(x):
    x[3] = np.concatenate([x[3][:, 75:], x[3][:, :75]], axis=1)
    return x


def integers_from_one(arrays):
    made = without_names(arrays)
    for split in ("train", "test"):
        made[f"y_{split}"] = arrays[f"y_{split}"].argmax(1) + 1
    return made


def camera_coordinates(x):
    people = x.reshape(len(x), FRAMES, 2, 75)
    return np.where(people.any(axis=3, keepdims=True), people + np.float32(2.5), 0).reshape(x.shape)


def person_fastest(x):
    return x.reshape(len(x), FRAMES, 2, 75).transpose(0, 1, 3, 2).reshape(x.shape)


def doubled(x):
    x[..., 75:] = np.where(x[..., 75:].any(axis=(1, 2), keepdims=True), x[..., 75:], x[..., :75])
    return x


def freeze(x):
    x[5, :40] = x[5, 0]
    x[5, 40:] = 0
    return x


def every_second(arrays, key):
    kind, split = key.split("_")
    return np.concatenate([arrays[f"{kind}_train"], arrays[f"{kind}_test"]])[split == "test" :: 2]


# what is planted -> the code that must be found
FAULTS = {
    "columns vcm in 5-D": ("column-order", lambda a: as_five(a, (0, 3, 1, 2, 4), (25, 3, 2))),
    "columns cvm in 5-D": ("column-order", lambda a: as_five(a, (0, 2, 1, 3, 4), (3, 25, 2))),
    "columns, flat": ("column-order", lambda a: changed(a, "x_train", person_fastest)),
    "labels shifted by a row": ("shifted-labels", lambda a: changed(a, "y_train", lambda y: np.roll(y, 1, 0))),
    "labels one too high": ("shifted-labels", lambda a: changed(a, "y_test", lambda y: np.roll(y, 1, 1))),
    "labels shuffled, no names": (
        "persons-by-class",
        lambda a: changed(without_names(a), "y_train", lambda y: np.random.RandomState(0).permutation(y)),
    ),
    "NaN": ("nan", lambda a: changed(a, "x_test", put((7, 3, 11), np.nan))),
    "Inf": ("nan", lambda a: changed(a, "x_train", put((0, 0, 0), np.inf))),
    "swapped persons": ("swapped-persons", lambda a: changed(a, "x_train", swap_persons)),
    "labels from 1": ("one-based", integers_from_one),
    "row with two positives": ("one-hot", lambda a: changed(a, "y_train", put((4, slice(0, 2)), 1))),
    "row without a label": ("one-hot", lambda a: changed(a, "y_test", put(9, 0))),
    "fractional ids": ("label-values", lambda a: changed(a, "y_test", lambda y: y.argmax(1) + 0.5)),
    "a label too few": ("lengths", lambda a: changed(a, "y_train", lambda y: y[:-1])),
    "member missing": ("missing-key", lambda a: {k: v for k, v in a.items() if k != "y_test"}),
    "other axes": ("shape", lambda a: changed(a, "x_train", lambda x: five(x).transpose(0, 2, 4, 3, 1))),
    "frames and columns exchanged": ("shape", lambda a: changed(a, "x_train", lambda x: x.transpose(0, 2, 1))),
    "integers": ("type", lambda a: changed(a, "x_train", lambda x: (1000 * x).astype(np.int32))),
    "test clips in training": ("leak", lambda a: changed(a, "x_train", lambda x: put(5, a["x_test"][2])(x))),
    "a clip twice": ("duplicates", lambda a: changed(a, "x_train", lambda x: put(50, x[2])(x))),
    "an empty clip": ("empty-clips", lambda a: changed(a, "x_test", put(4, 0))),
    "nothing in it": ("empty", lambda a: changed(a, "x_test", lambda x: 0 * x)),
    "a frozen clip": ("frozen", lambda a: changed(a, "x_train", freeze)),
    "millimetres": ("units", lambda a: changed(a, "x_train", lambda x: 1000 * x)),
    "not centred": ("not-centred", lambda a: changed(a, "x_train", camera_coordinates)),
    "one person twice": ("doubled", lambda a: changed(a, "x_train", doubled)),
    "random division": ("mixed", lambda a: {key: every_second(a, key) for key in a}),
}  # fmt: skip


def test_a_clean_file_passes(clean):
    diagnosis = examine(clean)
    assert diagnosis.sound and not diagnosis.codes(ERROR, WARNING), diagnosis.text()
    assert diagnosis.text().splitlines()[-1].startswith("SOUND: 0 errors, 0 warnings")
    facts = diagnosis.splits["train"]
    assert facts.clips == 120 and sum(facts.histogram) == 120 and sum(facts.persons.values()) == 120
    assert sum(facts.lengths) == 120 and facts.length[4] <= FRAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.npz", "b.npz", "c.h5", "d.pkl", "folder"])
def test_clean_in_every_layout(name, clean, tmp_path):
    convert(clean, tmp_path / name, to="5d" if name == "b.npz" else None, compress=name == "b.npz", show=False)
    diagnosis = examine(tmp_path / name)
    assert diagnosis.sound and not diagnosis.codes(ERROR, WARNING), diagnosis.text()
    assert diagnosis.splits["test"].clips == 40


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault, arrays, tmp_path):
    code, plant = FAULTS[fault]
    np.savez(tmp_path / "ill.npz", **plant(arrays))
    diagnosis = examine(tmp_path / "ill.npz")
    assert code in diagnosis.codes(ERROR, WARNING), diagnosis.text()
    others = {"persons-by-class", "mixed", "classes", "shifted-labels"}  # what may follow from the same fault
    if code in ("nan", "one-based", "swapped-persons", "duplicates", "empty-clips", "frozen", "units"):
        assert diagnosis.codes(ERROR, WARNING) <= {code, *others}, diagnosis.text()
    json.dumps(diagnosis.as_json())


def test_the_wrong_order_is_named_with_its_repair(arrays, tmp_path):
    for name, order in (("columns vcm in 5-D", "vcm"), ("columns cvm in 5-D", "cvm")):
        np.savez(tmp_path / "ill.npz", **FAULTS[name][1](arrays))
        assert f"--layout repair-{order}" in examine(tmp_path / "ill.npz").text()
        convert(tmp_path / "ill.npz", tmp_path / "well.npz", layout=f"repair-{order}", show=False)
        assert not examine(tmp_path / "well.npz").codes(ERROR, WARNING)


def damaged(clean: Path, target: Path, at: int | None = None, keep: int | None = None) -> Path:
    content = bytearray(clean.read_bytes())
    if at is not None:
        content[at] ^= 0x10
    target.write_bytes(content[:keep])
    return target


def test_truncated_file(clean, tmp_path):
    for keep in (10, 5000, clean.stat().st_size // 2, clean.stat().st_size - 300):
        diagnosis = examine(damaged(clean, tmp_path / "ill.npz", keep=keep))
        assert diagnosis.codes(ERROR) & {"damaged", "truncated"}, diagnosis.text()


def test_truncated_member(arrays, tmp_path):
    import io
    import zipfile

    with zipfile.ZipFile(tmp_path / "ill.npz", "w") as file:
        for key, value in arrays.items():
            text = io.BytesIO()
            np.save(text, value)
            file.writestr(f"{key}.npy", text.getvalue()[: -1000 if key == "x_test" else None])
    diagnosis = examine(tmp_path / "ill.npz")
    assert diagnosis.codes(ERROR) == {"truncated"} and "train" in diagnosis.splits


def test_flipped_bit(clean, tmp_path):
    """Readers that map a file do not see it; the checksum does."""
    diagnosis = examine(damaged(clean, tmp_path / "ill.npz", at=clean.stat().st_size // 3))
    assert "damaged" in diagnosis.codes(ERROR) and "CRC" in diagnosis.text()


def test_half_an_archive_is_told_of_but_sound(arrays, tmp_path):
    np.savez(tmp_path / "half.npz", **{key: value for key, value in arrays.items() if key.endswith("_train")})
    diagnosis = examine(tmp_path / "half.npz")
    assert diagnosis.sound and diagnosis.codes(WARNING) == {"one-split"} and list(diagnosis.splits) == ["train"]


@pytest.mark.slow
def test_an_array_without_labels_is_a_question_to_the_user(arrays, tmp_path):
    np.save(tmp_path / "val_data.npy", five(arrays["x_test"]))
    refused = script("--doctor", tmp_path / "val_data.npy")
    assert refused.returncode == 2 and "--label-path" in refused.stderr and len(refused.stderr.splitlines()) == 1
    labels = arrays["y_test"].argmax(1).tolist()
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps(([str(i) for i in labels], labels)))
    diagnosis = examine(tmp_path / "val_data.npy")
    assert diagnosis.sound and diagnosis.splits["test"].clips == 40
    done = script(tmp_path)
    assert done.returncode == 2 and "--doctor" in done.stderr


def test_labels_of_an_object_array_are_not_unpickled(arrays, tmp_path):
    np.savez(tmp_path / "ill.npz", **changed(arrays, "y_test", lambda y: y.argmax(1).astype(object)))
    diagnosis = examine(tmp_path / "ill.npz")
    assert diagnosis.codes(ERROR) == {"objects"}  # nothing is damaged
    assert "np.int64" in diagnosis.text() and "get the file again" not in diagnosis.text()


@pytest.mark.parametrize("name", ["mine.json", "one.pkl", "recordings"])
def test_what_other_programs_read_is_sent_to_them(name, tmp_path):
    path = tmp_path / name
    if path.suffix == ".json":
        path.write_text("[[[1, 2, 0.9]]]")
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps({"keypoint": np.zeros((1, 4, 17, 2)), "label": 3}))
    else:
        path.mkdir()
        (path / "S001C001P001R001A001.skeleton").write_text("0")
    text = examine(path).text()
    assert "predict.py" in text and "prepare.py" in text and "put right" not in text


@pytest.mark.parametrize("classes", [5, 8])
def test_ids_from_one_of_any_number_of_classes(classes, tmp_path):
    ids = np.arange(3 * classes) % classes
    x = np.random.default_rng(0).random((2, len(ids), 3, 20, 17, 1)).astype(np.float32)
    for shift, expected in ((0, set()), (1, {"one-based"})):
        np.savez(tmp_path / "a.npz", x_train=x[0], y_train=ids + shift, x_test=x[1], y_test=ids + shift)
        assert examine(tmp_path / "a.npz").codes(ERROR) == expected


def test_keys_and_splits_that_are_not_read(arrays, tmp_path):
    more = {f"{key.partition('_')[0]}_val": arrays[key] for key in ("x_test", "y_test")}
    np.savez(tmp_path / "a.npz", **arrays, **more, extra=np.arange(3))
    diagnosis = examine(tmp_path / "a.npz")
    assert diagnosis.codes(WARNING) == {"not-read"} and diagnosis.sound
    assert "x_val, y_val, extra" in diagnosis.text() and "splits called val" in diagnosis.text()


def test_lines_about_a_clip_name_it(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **changed(arrays, "x_train", put((7, 3, 11), np.nan)))
    assert f"clip 7 ({arrays['name_train'][7]}), frame 3" in examine(tmp_path / "a.npz").text()
    np.savez(tmp_path / "a.npz", **changed(arrays, "y_train", put((4, slice(0, 2)), 1)))
    assert f"({arrays['name_train'][4]})" in examine(tmp_path / "a.npz").text()
    np.savez(tmp_path / "a.npz", **changed(arrays, "x_train", put(5, arrays["x_test"][2])))
    assert f"clip 2 ({arrays['name_test'][2]})" in examine(tmp_path / "a.npz").text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Files with as many clips as published ones, of one frame each."""
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)

    def write(stem, sizes=None, shift=0):
        arrays = {}
        for split, size in zip(("train", "test"), sizes or ntu_published.SIZES["NTU60_CS"]):
            labels = np.array([sample(n).label for n in row_names("NTU60_CS", split)])
            x = rng.standard_normal((size, 1, 75)).astype(np.float32)
            x[:, 0, 3:6] = 0
            arrays |= {f"x_{split}": x, f"y_{split}": np.roll(np.resize(labels, size), shift)}
        np.savez(folder / f"{stem}.npz", **arrays)
        return examine(folder / f"{stem}.npz")

    return write


@pytest.mark.slow
def test_rows_of_the_published_file_are_recognised(whole):
    diagnosis = whole("anything")
    assert diagnosis.archive == "NTU60_CS" and diagnosis.as_json()["archive"] == "NTU60_CS"
    assert "named" in diagnosis.codes() and not diagnosis.codes(ERROR)


@pytest.mark.slow
def test_shifted_labels_of_the_published_file(whole):
    diagnosis = whole("anything", shift=1)
    assert diagnosis.archive is None and "shifted-labels" in diagnosis.codes(ERROR)


@pytest.mark.slow
def test_wrong_split_sizes(whole, clean, tmp_path):
    train, test = ntu_published.SIZES["NTU60_CS"]
    assert "split-size" in whole("NTU60_CS", (train - 7, test + 7)).codes(ERROR)
    assert "changed places" in whole("NTU60_CS", (test, train)).text()
    assert "NTU60_CS" in whole("NTU60_CV").text() and not whole("NTU60_CV").sound
    assert "split-size" in whole("mine", (train - 7, test + 7)).codes(WARNING)
    (tmp_path / "NTU60_CS.npz").write_bytes(clean.read_bytes())  # a demo under the usual name is no error
    small = examine(tmp_path / "NTU60_CS.npz")
    assert small.sound and "split-size" in small.codes(WARNING)
    assert "split-size" in examine(clean, expect="NTU60_CV").codes(ERROR)
    with pytest.raises(UsageError, match="NTU60_CS"):
        examine(clean, expect="NTU60_C")


def script(*words):
    command = [sys.executable, "dataset_tools/inspect_npz.py", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_documented_lines(clean, arrays):
    done = script(clean)
    assert done.returncode == 0, done.stderr
    assert done.stdout == script("--path", clean).stdout
    lines = done.stdout.splitlines()
    assert lines[:3] == ["Loaded mine.npz", f"Keys: {list(arrays)}", ""]
    assert lines[3:5] == ["x_train: shape=(120, 60, 150), dtype=float32", "y_train: shape=(120, 60), dtype=float64"]
    assert len(lines) == 3 + len(arrays)


@pytest.mark.slow
def test_missing_file_is_one_line():
    for words in (["nowhere.npz"], ["--path", "nowhere.npz"], ["--doctor", "nowhere.npz"]):
        done = script(*words)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "nowhere.npz" in done.stderr
    with pytest.raises(ArchiveNotFoundError):
        examine("nowhere.npz")


@pytest.mark.slow
def test_what_must_not_be_written_is_one_line(clean, tmp_path):
    """The archive itself above all; told before the work, and nothing is touched."""
    mine, other = tmp_path / "mine.json", tmp_path / "file"
    mine.write_bytes(clean.read_bytes())
    other.write_text("kept")
    for words, told in (
        ([mine, "--json", mine], "is the input itself"),
        ([clean, "--json", other], "must end in .json"),
        ([clean, "--json", clean], "must end in .json"),
        ([clean, "--picture", tmp_path], "is a folder"),
        ([clean, "--picture", other / "x.png"], "is a file, not a folder"),
        ([clean, "--json", "/proc/nowhere/x.json"], "cannot be written"),
        ([clean, "--doctor", "--label-path", other], "has labels of its own"),
    ):
        done = script(*words)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and told in done.stderr, done.stderr
    assert mine.read_bytes() == clean.read_bytes() and other.read_text() == "kept"


@pytest.mark.slow
def test_program_writes_json_and_picture(clean, arrays, tmp_path):
    done = script(clean, "--json", tmp_path / "a.json", "--picture", tmp_path / "a.png")
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("SOUND"), done.stderr
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["sound"] and content["splits"]["test"]["clips"] == 40 and content["members"][0]["key"] == "x_train"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    np.savez(tmp_path / "ill.npz", **FAULTS["NaN"][1](arrays))
    done = script("--doctor", tmp_path / "ill.npz", "--picture", tmp_path / "b.png")
    assert done.returncode == 1 and "NOT SOUND" in done.stdout and not done.stderr
    done = script(tmp_path / "ill.npz", "--json", "-")
    assert done.returncode == 1 and json.loads(done.stdout)["sound"] is False


@pytest.mark.slow
def test_picture_of_a_file_without_anything_to_draw(arrays, tmp_path):
    from skeleton_lab.doctor.picture import draw

    np.savez(tmp_path / "ill.npz", x=np.zeros(3))
    diagnosis = examine(tmp_path / "ill.npz")
    assert diagnosis.codes(ERROR) == {"missing-key"}
    assert draw(diagnosis, tmp_path / "a.png").stat().st_size > 1000
