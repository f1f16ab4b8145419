"""The generators at their published paths, run as the users' documents say, each in a room of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from raw_helpers import EXPECTED, KINETICS, NAMES, arrays, lay_out

from skeleton_lab.data.archives.readers import safe_pickle

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return arrays()


@pytest.fixture
def lab(tmp_path) -> Path:
    """MS-G3D and ST-GCN with nothing but their generators."""
    for scripts in ("MS-G3D/data_gen", "ST-GCN/tools"):
        (tmp_path / scripts).mkdir(parents=True)
        for path in (ROOT / scripts).glob("*gen*.py"):
            shutil.copy(path, tmp_path / scripts)
    return tmp_path


def call(folder: Path, *command: object, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("mounted", ["MS-G3D/data/nturgbd_raw", "data/nturgbd_raw"])
def test_msg3d_ntu(lab, expected, mounted):
    """In the image the recordings are mounted beside the room; the published generator looks in the room."""
    lay_out(lab / mounted)
    listed = lab / mounted / "NTU_RGBD_samples_with_missing_skeletons.txt"
    listed.write_text("missing:\n\nS001C001P001R001A001\n")
    folder = lab / "MS-G3D" / "data_gen"
    assert "1 recordings left out: on the list" in call(folder, "ntu_gendata.py").stdout
    out = lab / "MS-G3D" / "data" / "ntu"
    names = EXPECTED["b_msg3d"]["ntu/xsub/train_label.pkl"]["names"][1:]
    assert safe_pickle.load(out / "xsub" / "train_label.pkl")[0] == names
    joint = np.load(out / "xsub" / "train_data_joint.npy")
    rows = [NAMES.index(name.removesuffix(".skeleton")) for name in names]
    np.testing.assert_allclose(joint, expected["b.joint"][rows], rtol=0, atol=2e-5)
    assert np.load(out / "xview" / "val_data_joint.npy").shape[0] == 2

    call(folder, "gen_bone_data.py", "--dataset", "ntu")
    bone, at = np.load(out / "xsub" / "train_data_bone.npy"), names.index("S009C002P025R001A052.skeleton")
    np.testing.assert_allclose(bone[at], expected["b.bone"][1], rtol=0, atol=4e-5)
    assert "required: --dataset" in call(folder, "gen_bone_data.py", code=2).stderr
    assert "no train_data_joint.npy" in call(folder, "gen_bone_data.py", "--dataset", "ntu120", code=2).stderr
    (out / "xsub" / "train_data_joint.npy").write_bytes(b"damaged")
    assert "train_data_joint.npy" in call(folder, "gen_bone_data.py", "--dataset", "ntu", code=2).stderr


@pytest.mark.slow
def test_msg3d_ntu120(lab, expected):
    lay_out(lab / "MS-G3D" / "data" / "nturgbd_raw")
    said = call(lab / "MS-G3D" / "data_gen", "ntu120_gendata.py", "--n_cores", "2").stdout
    assert "NTU_RGBD120_samples_with_missing_skeletons.txt does not exist: using the packaged list" in said
    out = lab / "MS-G3D" / "data" / "ntu120"
    assert np.load(out / "xset" / "val_data_joint.npy").shape == (7, 3, 300, 25, 2)
    found = safe_pickle.load(out / "xsub" / "val_label.pkl")
    assert found[1] == EXPECTED["b_msg3d"]["ntu120/xsub/val_label.pkl"]["labels"]


@pytest.mark.slow
def test_msg3d_flags(lab, tmp_path):
    part1, part2 = lay_out(tmp_path / "raw")
    folder = lab / "MS-G3D" / "data_gen"
    flags = ["--part1-path", part1, "--part2-path", part2, "--out-folder", "../out"]
    call(folder, "ntu120_gendata.py", *flags, "--quiet", "--n_cores", "1")
    assert np.load(lab / "MS-G3D" / "out" / "xset" / "train_data_joint.npy").shape[0] == 5
    flags = ["--data_path", part1, "--out_folder", tmp_path / "out", "--ignored_sample_path", "nowhere.txt"]
    assert "nowhere.txt does not exist" in call(folder, "ntu_gendata.py", *flags, code=2).stderr
    said = call(folder, "ntu_gendata.py", "--data_path", "nowhere", code=2).stderr
    assert said.count("\n") == 1 and "nowhere does not exist" in said


@pytest.mark.slow
def test_msg3d_kinetics(lab, expected):
    shutil.copytree(KINETICS, lab / "MS-G3D" / "data" / "kinetics_raw")
    folder = lab / "MS-G3D" / "data_gen"
    call(folder, "kinetics_gendata.py")
    call(folder, "gen_bone_data.py", "--dataset", "kinetics")
    for part in ("train", "val"):
        for array in ("data_joint", "data_bone"):
            found = np.load(lab / "MS-G3D" / "data" / "kinetics" / f"{part}_{array}.npy")
            np.testing.assert_array_equal(found, expected[f"k.msg3d.{part}_{array}"])


@pytest.mark.slow
def test_stgcn_ntu(lab, expected):
    folder = lab / "ST-GCN" / "tools"
    raw, _ = lay_out(folder / "path" / "to")
    command = ["ntu_gendata.py", "--data_path", "path/to/nturgb+d_skeletons", "--out_folder", "./data/NTU-RGB-D"]
    said = call(folder, *command).stdout
    assert "packaged list" in said and "note: the configurations read" in said
    rows = EXPECTED["c_stgcn"]["data_rows"]
    for benchmark in ("xsub", "xview"):
        for part in ("train", "val"):
            names, _ = safe_pickle.load(folder / "data" / "NTU-RGB-D" / benchmark / f"{part}_label.pkl")
            data = np.load(folder / "data" / "NTU-RGB-D" / benchmark / f"{part}_data.npy")
            at = [rows.index(name.removesuffix(".skeleton")) for name in names]
            np.testing.assert_array_equal(data, expected["c.data"][at])

    shutil.copytree(raw, lab / "ST-GCN" / "data" / "NTU-RGB-D" / raw.name)
    assert "note:" not in call(lab / "ST-GCN", "tools/ntu_gendata.py").stdout
    assert (lab / "ST-GCN" / "data" / "NTU-RGB-D" / "xview" / "val_data.npy").exists()


@pytest.mark.slow
def test_stgcn_kinetics(lab, expected):
    folder = lab / "ST-GCN" / "tools"
    shutil.copytree(KINETICS, folder / "data" / "Kinetics" / "kinetics-skeleton")
    where = "./data/Kinetics/kinetics-skeleton"
    call(folder, "kinetics_gendata.py", "--data_path", where, "--out_folder", where)
    for part in ("train", "val"):
        found = np.load(folder / where / f"{part}_data.npy")
        np.testing.assert_array_equal(found, expected[f"k.stgcn.{part}_data"])
    assert "does not exist" in call(lab / "ST-GCN", "tools/kinetics_gendata.py", code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["ntu", "ntu120"])
def test_three_steps_of_ctrgcn(tmp_path, expected, dataset):
    lay_out(tmp_path / "nturgbd_raw")
    folder = tmp_path / dataset
    folder.mkdir()
    tools = ROOT / "dataset_tools"
    call(folder, tools / "get_raw_skes_data.py", "--n_cores", "1")
    call(folder, tools / "get_raw_denoised_data.py", "--n_cores", "1")
    assert not list(folder.glob("*.npz"))
    call(folder, tools / "seq_transformation.py", "--n_cores", "1")
    archive = {"ntu": "NTU60_CS", "ntu120": "NTU120_CSub"}[dataset]
    with np.load(folder / f"{archive}.npz") as file:
        for key in file:
            np.testing.assert_array_equal(file[key], expected[f"a.{archive}.{key}"])
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"raw_data", "denoised_data"}


@pytest.mark.slow
def test_names_of_ctrgcn(tmp_path):
    """The published name file gives the samples and their order, even with a single line."""
    lay_out(tmp_path / "nturgbd_raw")
    (tmp_path / "ntu" / "statistics").mkdir(parents=True)
    names = tmp_path / "ntu" / "statistics" / "skes_available_name.txt"
    script = ROOT / "dataset_tools" / "seq_transformation.py"
    names.write_text("S001C001P001R001A001\n")
    call(tmp_path / "ntu", script, "--n_cores", "1")
    with np.load(tmp_path / "ntu" / "NTU60_CS.npz") as file:
        assert file["x_train"].shape == (1, 20, 150) and file["x_test"].shape == (0, 20, 150)
    names.write_text("S001C001P001R001A001\nS001C001P001R001A003\n")
    said = call(tmp_path / "ntu", script, code=2).stderr
    assert "1 have no recording: S001C001P001R001A003" in said
