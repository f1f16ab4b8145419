"""Which rows of several streams, and of the labels, are the same sample."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from score_files import STREAMS, K, N, clip, rename, write

from skeleton_lab.ensemble.program import read_labels


def test_samples_are_matched_by_name(lab):
    expected = lab()[1]
    write(lab.folder / "bone", dict(reversed(lab.scores["bone"].items())))
    assert lab()[1] == expected


def test_row_numbers_in_any_spelling_are_the_same_names(lab):
    expected = lab()[1]
    rename(lab, "bone", lambda i: i, evaluation=False)
    assert lab()[1] == expected and "samples in the order of their row numbers" in expected


@pytest.mark.parametrize(
    "spelling",
    [f"{{}}{end}" for end in ("", ".skeleton")] + ["test_{}", "val_{}.json", "/data/ntu/{}.skeleton", "nturgb+d\\{}"],
)
def test_names_of_two_pipelines_are_the_same_samples(lab, spelling):
    """A perfect stream stays perfect whatever the order of its file."""
    for stream in STREAMS[:2]:
        lab.scores[stream] = {key: np.eye(K)[k] for key, k in zip(lab.scores[stream], lab.labels)}
    (lab.folder / "data" / "ntu" / "NTU60_CS.npz").unlink()
    rename(lab, "joint", clip)
    rename(lab, "bone", lambda i: spelling.format(clip(i)), np.random.default_rng(5).permutation(N))
    code, out, err = lab(streams=STREAMS[:2])
    assert code == 0, err
    assert "\nTop1 Acc: 100.0000%" in out and "bone: top-1 100.00%" in out and "notice" not in out


def test_clips_of_one_name_in_two_folders_are_two(lab):
    expected = lab(streams=STREAMS[:2])[1].splitlines()[1:]
    rename(lab, "joint", lambda i: f"class{i % 2}/{i // 2}", evaluation=False)
    rename(
        lab, "bone", lambda i: f"class{i % 2}/{i // 2}.avi", np.random.default_rng(6).permutation(N), evaluation=False
    )
    assert lab(streams=STREAMS[:2])[1].splitlines()[1:] == expected


def test_unlike_names_need_equal_labels_row_by_row(lab):
    expected = lab(streams=STREAMS[:2])[1].splitlines()
    rename(lab, "bone", clip)
    code, _, err = lab(streams=STREAMS[:2])
    assert code == 2 and "evaluation.npz" in err and str(lab.folder / "joint") in err and len(err.splitlines()) == 1
    rename(lab, "joint", lambda i: f"test_{i}")
    code, out, _ = lab(streams=STREAMS[:2])
    notice, *rest = out.splitlines()
    assert notice.startswith("notice: ") and "matched by position, since the labels" in notice and rest == expected
    rename(lab, "bone", clip, np.roll(np.arange(N), 1))
    code, out, err = lab(streams=STREAMS[:2])
    assert (code, out) == (2, "") and "is class" in err and len(err.splitlines()) == 1


def test_row_numbers_of_two_orders_are_refused(lab):
    rename(lab, "joint", lambda i: f"test_{i}")
    order = np.random.default_rng(7).permutation(N)
    rows = list(lab.scores["bone"].values())
    write(lab.folder / "bone", {f"test_{k}": rows[i] for k, i in enumerate(order)})
    np.savez(lab.folder / "bone" / "evaluation.npz", labels=lab.labels[order])
    code, out, err = lab(streams=STREAMS[:2])
    assert (code, out) == (2, "") and "of 60 differ" in err


def test_a_single_other_name_is_an_error(lab):
    rename(lab, "joint", clip)
    rename(lab, "bone", lambda i: clip(i) if i != 3 else "S099C001P001R001A001")
    code, _, err = lab(streams=STREAMS[:2])
    assert code == 2 and "share 59 of 60" in err and repr(clip(3)) in err


def test_labels_come_by_name_or_row_and_are_those_of_the_run(lab):
    order = np.random.default_rng(8).permutation(N)
    archive, stream = lab.folder / "data/ntu/NTU60_CS.npz", STREAMS[:2]
    expected = lab(streams=stream)[1].splitlines()[1:]
    for name in stream:
        rename(lab, name, clip)
    names = np.array([f"{clip(int(i))}.skeleton" for i in order])
    np.savez(archive, y_test=lab.labels[order], name_test=names)
    assert lab(streams=stream)[1].splitlines()[1:] == expected
    np.savez(archive, y_test=lab.labels[order])  # no names: by row, which the run's own labels contradict
    code, _, err = lab(streams=stream)
    assert code == 2 and "NTU60_CS.npz: row" in err and "evaluation.npz" in err
    (lab.folder / "joint" / "evaluation.npz").unlink()
    np.savez(archive, y_test=lab.labels, name_test=np.array([f"other{i}" for i in range(N)]))
    code, _, err = lab(streams=stream)
    assert code == 2 and "names its samples unlike the scores" in err


def test_labels_from_the_run_itself(lab):
    expected = lab()[1].splitlines()[1:]
    (lab.folder / "data" / "ntu" / "NTU60_CS.npz").unlink()
    order = np.random.default_rng(2).permutation(N)
    names = np.array([f"test_{i}" for i in order])
    np.savez(lab.folder / "joint" / "evaluation.npz", labels=lab.labels[order], names=names)
    code, out, _ = lab()
    assert code == 0 and out.splitlines()[1:] == expected
    assert "evaluation.npz" in out.splitlines()[0]


def test_labels_of_nw_ucla(lab):
    expected = lab()[1].splitlines()[1:]
    (lab.folder / "data" / "NW-UCLA").mkdir()
    clips = [{"file_name": f"a{i}", "length": 9, "label": int(label) + 1} for i, label in enumerate(lab.labels)]
    (lab.folder / "data" / "NW-UCLA" / "val_label.pkl").write_bytes(pickle.dumps(clips))
    assert lab(dataset="NW-UCLA")[1].splitlines()[1:] == expected


def test_labels_of_a_pair_pickle(tmp_path):
    path = tmp_path / "val_label.pkl"
    path.write_bytes(pickle.dumps((["b", "a"], [1, 0]), protocol=2))
    assert read_labels(path, ["a", "b"]).tolist() == [0, 1]
    assert read_labels(path, ["test_0", "test_1"]).tolist() == [1, 0]
