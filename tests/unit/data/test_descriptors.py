"""Descriptors beside an archive: read from every kind of file, joined to clips by name, packed, examined, made up."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab import cli
from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.descriptors.beside import NONE, beside
from skeleton_lab.data.archives.descriptors.files import Descriptors, open_descriptors
from skeleton_lab.data.archives.ntu_protocol import row_names, sample
from skeleton_lab.data.archives.writers.streaming import Rows, write_npz
from skeleton_lab.data.synthetic import archive, descriptors
from skeleton_lab.doctor.examine import examine
from skeleton_lab.errors import LabError

D = 6


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("described") / "my.npz"
    archive.write(path, train=20, test=10, classes=5, resample=12, progress=False)
    return path


def names_in(path: Path) -> list[str]:
    return [name for part in open_source(path).values() for name in part.names]


@pytest.fixture
def vectors(clips) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((1 + k % 4, D)).astype(np.float32) for k, name in enumerate(names_in(clips))}


def folder_of(vectors: dict[str, np.ndarray], path: Path) -> Path:
    path.mkdir()
    for name, values in vectors.items():
        np.save(path / f"{name}.npy", values[0] if len(values) == 1 else values)
    return path


def check(argv: list, capsys) -> tuple[int, str]:
    code = cli.main([str(word) for word in argv])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_a_folder_its_packed_file_and_rows_say_the_same_of_every_clip(clips, vectors, tmp_path, capsys):
    folder = folder_of(vectors, tmp_path / "folder")
    code, told = check(["convert", "--descriptors", folder, "--output", tmp_path / "packed.npz"], capsys)
    assert code == 0 and "30 clips, 1 to 4 of a clip, D=6" in told
    parts = open_source(clips)
    for path in (folder, tmp_path / "packed.npz"):
        found = beside(open_descriptors(path), parts, clips)
        for split, part in parts.items():
            for row, name in enumerate(part.names):
                assert np.array_equal(found.descriptors.read(found.entries[split][row]), vectors[name])
    with np.load(tmp_path / "packed.npz") as file:  # a plain file for other programs
        k = file["names"].tolist().index(names_in(clips)[7])
        assert np.array_equal(file["values"][slice(*file["offsets"][k : k + 2])], vectors[names_in(clips)[7]])
    whole = np.stack([np.resize(values, (3, D)) for values in vectors.values()])
    np.save(tmp_path / "rows.npy", whole)
    found = beside(open_descriptors(tmp_path / "rows.npy"), parts, clips)
    assert np.array_equal(found.descriptors.read(found.entries["test"][4]), whole[24]) and not found.surplus


def test_names_match_without_ending_and_folder_and_what_is_left_is_told(clips, vectors, tmp_path):
    some = {f"{name}.skeleton": values for name, values in list(vectors.items())[2:]} | {"stray": np.ones((1, D))}
    found = beside(open_descriptors(folder_of(some, tmp_path / "folder")), open_source(clips), clips)
    assert found.missing("train").tolist() == [0, 1] and not len(found.missing("test")) and found.surplus == ["stray"]


def test_clips_that_differ_by_their_folder_alone_never_share_a_descriptor():
    names = ["drink/001", "wave/001", "drink/002"]
    parts = {"train": Clips(Path("my"), "5d", (3, 9, 25, 1), np.arange(3), names=names)}

    def entries(*of: str) -> list[int]:
        return beside(Descriptors(Path("d"), of, np.ones(len(of)), D, np.float32), parts, Path("my")).entries["train"]

    with pytest.raises(LabError, match="none of its 2 names is that of a clip of my; its first is 001"):
        entries("001", "002")
    assert entries("wave/001.mp4", "drink/002.mp4").tolist() == [NONE, 0, 1]
    parts["train"].names = ["a", "a", "b/c"]  # one clip twice has one descriptor
    assert entries("c", "a").tolist() == [1, 1, 0]


def test_the_published_file_without_names_gets_them_by_its_labels():
    names = row_names("NTU60_CS", "test")
    labels = np.array([sample(name).label for name in names])
    part = Clips(Path("NTU60_CS.npz"), "kaggle", (3, 300, 25, 2), labels)

    some = Descriptors(Path("some"), [names[5], names[2]], np.ones(2), D, np.float32)
    found = beside(some, {"test": part}, part.path)
    assert found.entries["test"][[5, 2, 0]].tolist() == [0, 1, NONE]


def test_a_packed_file_takes_no_memory_for_what_is_not_asked(tmp_path):
    count, t = 2000, 16
    block = np.ones((t, 1024), np.float32)  # 128 MB
    write_npz(tmp_path / "large.npz", {
        "names": Rows((count,), np.dtype("<U8"), [np.array([f"c{k}" for k in range(count)], "<U8")]),
        "values": Rows((count * t, 1024), np.dtype(np.float32), (block * k for k in range(count))),
        "offsets": Rows((count + 1,), np.dtype(np.int64), [np.arange(count + 1) * t]),
    })  # fmt: skip
    tracemalloc.start()
    found = open_descriptors(tmp_path / "large.npz")
    assert [float(found.read(k).mean()) for k in (0, 777, 1999)] == [0, 777, 1999]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


FAULTS = {
    "other": (lambda v: {f"x{name}": values for name, values in v.items()}, "none of its 30 names is that of a clip"),
    "sizes": (lambda v: {**v, "zz": np.ones((2, D + 1))}, "vectors of 7 values, those of"),
    "shape": (lambda v: {**v, "zz": np.ones((2, 2, D))}, "it is (D,) or (t, D) numbers"),
    "empty": (lambda v: {}, "holds no .npy file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_cannot_be_is_one_line(fault, clips, vectors, tmp_path):
    change, line = FAULTS[fault]
    with pytest.raises(LabError) as error:
        beside(open_descriptors(folder_of(change(vectors), tmp_path / "folder")), open_source(clips), clips)
    assert line in str(error.value)


def packed(path: Path, **changes) -> Path:
    members = {"names": np.array(["a", "b"]), "values": np.ones((3, D)), "offsets": np.array([0, 1, 3])} | changes
    np.savez(path, **{key: value for key, value in members.items() if value is not None})
    return path


@pytest.mark.parametrize(("changes", "line"), [
    ({"offsets": np.array([0, 2, 2])}, "must begin with 0, grow, and end with 3"),
    ({"offsets": np.array([0, 1])}, "for 2 names it is (3,) whole numbers"),
    ({"values": None}, "has no member 'values'"),
    ({"names": np.zeros(0, "<U1"), "offsets": np.zeros(1, int), "values": np.ones((0, D))}, "it is (N,) texts, N > 0"),
    ({"values": np.ones(3)}, "it is (R, D) numbers"),
    ({"names": np.array(list("abcd")), "offsets": np.array([0, 2**63 - 1, 1 - 2**63, -1, 3])}, "with 0, grow, and end"),
    ({"values": np.ones((D, 3)).T}, "in Fortran order; save np.ascontiguousarray of it"),
])  # fmt: skip
def test_a_packed_file_that_cannot_be_is_one_line(changes, line, tmp_path):
    with pytest.raises(LabError) as error:
        open_descriptors(packed(tmp_path / "packed.npz", **changes))
    assert line in str(error.value)


def test_names_that_are_the_same_are_told(clips, tmp_path):
    with pytest.raises(LabError, match="two of its descriptors are called a; names must tell clips apart"):
        beside(open_descriptors(packed(tmp_path / "packed.npz", names=np.array(["a", "a"]))), open_source(clips), clips)


def test_a_digest_is_of_every_value_and_of_no_file(clips, vectors, tmp_path):
    def digest(path: Path) -> str:
        return beside(open_descriptors(path), open_source(clips), clips).digest()

    folder = folder_of(vectors, tmp_path / "folder")
    (folder / "._hidden.npy").write_bytes(b"what macOS leaves on other file systems")
    whole = digest(folder)
    assert cli.main(["convert", "--descriptors", str(folder), "--output", str(tmp_path / "packed.npz")]) == 0
    np.save(folder / "a stray one.npy", np.ones(D))
    assert digest(folder) == whole == digest(tmp_path / "packed.npz")
    for name in (names_in(clips)[9], names_in(clips)[22]):
        np.save(folder / f"{name}.npy", vectors[name] + np.float32(0.01))
        assert digest(folder) != whole
        np.save(folder / f"{name}.npy", vectors[name])
    (folder / f"{name}.npy").unlink()
    assert digest(folder) != whole


def test_rows_must_be_as_many_as_clips(clips, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.ones((29, D)))
    code, told = check(["check", clips, "--descriptors", tmp_path / "rows.npy", "--quiet"], capsys)
    assert code == 1 and "has 29 rows" in told and "20 train and 10 test clips" in told


def test_the_doctor_says_what_was_planted(clips, vectors, tmp_path, capsys):
    first, second, third, fourth, fifth, *_ = vectors
    vectors[first] = np.full((2, D), np.nan, np.float32)
    vectors[second] = np.zeros((1, D), np.float32)
    vectors[third] = np.tile(np.arange(D, dtype=np.float32), (3, 1))
    vectors[fourth] = np.random.default_rng(1).standard_normal((13, D)).astype(np.float32)
    vectors[fifth] = vectors[fourth]
    vectors["stray"] = np.ones((1, D), np.float32) * np.arange(D)
    del vectors[names_in(clips)[-1]]
    code, told = check(["check", clips, "--descriptors", folder_of(vectors, tmp_path / "f"), "--quiet"], capsys)
    assert code == 1
    for line in (
        f"descriptors-nan: 1 descriptors hold NaN, Inf or values beyond 1e+15: {first}",
        f"descriptors-constant: 1 descriptors are constant: {second}",
        f"descriptors-still: 1 clips have one vector all the time: {third}",
        "descriptors-repeated: 1 descriptors repeat",
        "descriptors-surplus: 1 descriptors are of no clip: stray", "descriptors-missing: 1 of 10 test clips",
        "2 of 29 clips have more vectors than recorded frames", "descriptors: 30 of D=6, 1 to 13 vectors of a clip",
    ):  # fmt: skip
        assert line in told
    assert "descriptors" not in " ".join(examine(clips).codes())


@pytest.mark.parametrize("value", [np.nan, np.inf, -3e38])
def test_reading_a_descriptor_that_nobody_can_compute_with_names_it(tmp_path, vectors, value):
    vectors["bad"] = np.array([[0, value] * (D // 2)], np.float32)
    found = open_descriptors(folder_of(vectors, tmp_path / "folder"))
    with pytest.raises(LabError, match="the descriptor of bad holds NaN, Inf or values beyond"):
        found.read(found.names.index("bad"))


def test_synthetic_objects_can_be_told_from_their_vectors_but_for_the_wrong_ones(tmp_path):
    flags = ["--train", 60, "--test", 40, "--resample", 12, "--quiet", "--descriptor-noise", 0]
    for name in ("a", "b"):
        words = ["--out", tmp_path / f"{name}.npz", *flags, "--descriptors", tmp_path / f"{name}_d.npz"]
        assert cli.main(["synthetic", *map(str, words)]) == 0
    assert (tmp_path / "a_d.npz").read_bytes() == (tmp_path / "b_d.npz").read_bytes()
    found = open_descriptors(tmp_path / "a_d.npz")
    assert found.names == names_in(tmp_path / "a.npz") and found.lengths.tolist() == [12] * 100
    right, changed = 0, 0
    for k, name in enumerate(found.names):
        last = found.read(k)[-1]  # the object is in view
        others = [descriptors._direction(thing, descriptors.SIZE) for thing in descriptors.NAMES]
        who = sample(name)
        last = last - 0.5 * descriptors._direction(f"setup {who.setup}", descriptors.SIZE)
        last = last - 0.5 * descriptors._direction(f"camera {who.camera}", descriptors.SIZE)
        told = descriptors.NAMES[int(np.argmax(np.array(others) @ last))]
        right += told == descriptors.OBJECTS.get(who.label, descriptors.NOTHING)
        changed += bool((found.read(k)[0] != found.read(k)[-1]).any())
    assert 80 <= right <= 97 and changed > 50
