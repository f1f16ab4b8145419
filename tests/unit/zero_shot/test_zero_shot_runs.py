"""The programs of the zero-shot rooms on small folders: four stages, interruptions, the shell scripts."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts import run_script
from zero_shot_folder import LE, ROOT, copied, environment, flags, one_error, write

from skeleton_lab.data.archives import class_splits
from skeleton_lab.zero_shot import synthetic
from skeleton_lab.zero_shot.align import program as programs
from skeleton_lab.zero_shot.align.trainer import Trainer
from skeleton_lab.zero_shot.gate import program as gating
from skeleton_lab.zero_shot.report import page as report
from skeleton_lab.zero_shot.smoke import smoke_test

ROOMS = {"FS-VAE": "fsvae", "MSF-GZSSAR": "msf"}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("zero_shot"))


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    found = {}
    for name in ("se", "sd", "te", "td"):
        content = torch.load(folder / f"{name}_{epoch}.pth.tar", weights_only=True)
        assert content["epoch"] == epoch + 1
        found |= {f"{name}.{key}": value for key, value in content["state_dict"].items()}
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.slow
def test_four_stages_as_scripts(given, tmp_path):
    """The documented programs, one after the other, in a folder with relative mounts; FS-VAE's: test_staged_script."""
    room = ROOT / "MSF-GZSSAR"
    for name in ("sk_feats", "text_feats"):
        (tmp_path / name).symlink_to(given / name)
    told = {}
    for phase, folder in (("train", "shift_5_r"), ("val", "shift_val_5_r")):
        words = flags(given, Path("results"), phase, dataset=f"sk_feats/{folder}/", text_feats=None)
        ran = run_script(room / "train.py", *words, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        told[phase] = ran.stdout.splitlines()
    assert told["train"][:2] == ["Train on 330 samples, validate on 360 samples", "language embeddings loaded."]
    assert told["val"][0] == "Train on 300 samples, validate on 300 samples"
    assert told["train"][2] == "-" * 21
    assert told["train"][3].startswith("zsl_accuracy increased to ") and "on cycle  " in told["train"][3]
    assert told["train"][-1] == "checkpoint saved"
    shared = ["--ss", "5", "--st", "r", "--ve", "shift", "--le", LE, "--tm", "lb", "--ntu", "60"]
    on_val = ["--phase", "val", "--dataset", "sk_feats/shift_val_5_r/", "--wdir", "results/5_r_val"]
    ran = run_script(room / "gating_train.py", *shared, *on_val, "--th", "50", "--t", "2", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("best validation accuracy for the gating model 0.")
    assert lines[1:] == ["best threshold 0.5", "best temperature 2"]
    on_train = ["--phase", "train", "--dataset", "sk_feats/shift_5_r/", "--wdir", "results/5_r"]
    ran = run_script(room / "gating_eval.py", *shared, *on_train, "--thresh", "0.5", "--temp", "2", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    folder = tmp_path / "results" / "5_r" / LE / "lb"
    figures = json.loads((folder / "gating_eval.json").read_text())
    a, b, h = (100 * figures[key] for key in ("seen_accuracy", "unseen_accuracy", "h_mean"))
    assert ran.stdout == f"seen_accuracy: {a:.2f}%\nunseen_accuracy: {b:.2f}% \nh_mean: {h:.2f}%\n"
    assert np.load(folder / "MSF_5_r_gzsl_zs.npy").shape == (360, 5)
    checkpoints = {f"{name}_{epoch}.pth.tar" for name in ("se", "sd", "te", "td") for epoch in (29, 59)}
    assert checkpoints == {path.name for path in folder.glob("[st][ed]_*")}
    assert torch.load(folder / "classifier.pth.tar")["state_dict"]["model.0.weight"].shape == (5, 8)
    val = tmp_path / "results" / "5_r_val" / LE / "lb"
    assert np.load(val / "MSF_5_r_unseen_zs.npy").shape == (30, 5)
    assert np.load(val / "MSF_5_r_seen_zs.npy").shape == (300, 5)
    assert not list(val.glob("se_*")) and not (val / "gating_model.pkl").exists()
    page = report.write(folder).read_text()
    assert "Accuracy by threshold" in page and "reading" in page  # class 10, unseen


@pytest.mark.slow
def test_accuracies_are_counted_right(given, tmp_path):
    """The figures of stages 1 and 4 against a count over what they saved."""
    assert programs.train("msf", flags(given, tmp_path)) == 0
    assert programs.train("msf", flags(given, tmp_path, "val")) == 0
    shared = ["--ss", "5", "--le", LE, "--tm", "lb", "--ntu", "60"]
    places = {p: given / "sk_feats" / f"shift_{'val_' if p == 'val' else ''}5_r" for p in ("train", "val")}
    assert gating.gating_train([*shared, "--dataset", str(places["val"]), "--wdir", str(tmp_path / "5_r_val")]) == 0
    assert gating.gating_eval([*shared, "--dataset", str(places["train"]), "--wdir", str(tmp_path / "5_r")]) == 0
    folder = tmp_path / "5_r" / LE / "lb"
    zs, labels = np.load(folder / "MSF_5_r_gzsl_zs.npy"), np.load(places["train"] / "g_label.npy")
    logits = np.load(places["train"] / "gtest_out.npy").astype(np.float64)
    unseen = [10, 11, 19, 26, 56]
    told = json.loads((folder / "gating_train.json").read_text())
    with (folder / "gating_model.pkl").open("rb") as file:
        model = pickle.load(file)
    right = {True: [], False: []}
    for row in range(len(labels)):
        soft = np.exp(logits[row] / told["temperature"])
        x = np.concatenate([sorted(zs[row], reverse=True), sorted(soft / soft.sum(), reverse=True)[:5]])
        p_seen = 1 / (1 + np.exp(-(x @ model["coef"] + model["intercept"])))
        seen_order = [c for c in np.argsort(-logits[row], kind="stable") if c not in unseen]
        answer = seen_order[0] if p_seen > told["threshold"] else unseen[int(zs[row].argmax())]
        right[labels[row] in unseen].append(answer == labels[row])
    found = json.loads((folder / "gating_eval.json").read_text())
    assert found["seen_accuracy"] == pytest.approx(np.mean(right[False]))
    assert found["unseen_accuracy"] == pytest.approx(np.mean(right[True]))
    trained = json.loads((folder / "train.json").read_text())
    with np.load(folder / "evaluation.npz") as kept:
        assert trained["zsl_accuracy"] == pytest.approx((kept["labels"] == kept["pred"]).mean())
    assert trained["finished"] and len(trained["cycles"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("variant", ROOMS.values())
def test_resumed_run_is_the_same_run(variant, given, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert programs.train(variant, flags(given, whole, num_cycles=3)) == 0
    assert programs.train(variant, flags(given, parted, num_cycles=1)) == 0
    assert programs.train(variant, flags(given, parted, num_cycles=3, resume=True)) == 0
    loaded = tmp_path / "loaded"
    assert programs.train(variant, flags(given, loaded, num_cycles=2)) == 0
    assert programs.train(variant, flags(given, loaded, num_cycles=3, load_epoch=59)) == 0
    end = weights(whole / "5_r" / LE / "lb", 89)
    for other in (parted, loaded):
        folder = other / "5_r" / LE / "lb"
        assert same(end, weights(folder, 89))
        one, two = (json.loads((f / "5_r" / LE / "lb" / "train.json").read_text()) for f in (whole, other))
        assert one["zsl_accuracy"] == two["zsl_accuracy"] and one["best_cycle"] == two["best_cycle"]
        assert [c["loss"] for c in one["cycles"]] == [c["loss"] for c in two["cycles"]]


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["train", "val"])
def test_killed_run_goes_on(phase, given, tmp_path):
    """kill -9 in the middle of a cycle; the next run gets the weights of one that was never stopped."""
    sizes = {"num_cycles": 3, "num_epoch_per_cycle": 120}
    whole = tmp_path / "whole"
    assert programs.train("fsvae", flags(given, whole, phase, **sizes)) == 0
    words = flags(given, tmp_path, phase, **sizes)
    running = subprocess.Popen(
        [sys.executable, str(ROOT / "FS-VAE" / "train.py"), *words], env=environment(), cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    name = "5_r" if phase == "train" else "5_r_val"
    folder = tmp_path / name / LE / "lb"
    deadline = time.monotonic() + 100
    while not (folder / "resume.pth.tar").exists():
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = torch.load(folder / "resume.pth.tar", weights_only=True)["done"]
    assert done in (1, 2)
    assert programs.train("fsvae", [*words, "--resume"]) == 0
    ends = [torch.load(f / "resume.pth.tar", weights_only=True) for f in (folder, whole / name / LE / "lb")]
    assert same(ends[0]["networks"], ends[1]["networks"])
    for array in (whole / name / LE / "lb").glob("*_zs.npy"):
        assert np.array_equal(np.load(array), np.load(folder / array.name))


def test_resume_of_another_run_is_refused(given, tmp_path, capsys):
    assert programs.train("msf", flags(given, tmp_path, num_cycles=1)) == 0
    assert programs.train("msf", flags(given, tmp_path, seed=6, resume=True)) == 2
    assert "seed" in one_error(capsys)


@pytest.mark.slow
def test_first_cycle_is_saved_whatever_it_got_right(given, tmp_path, monkeypatch):
    """Later stages need its files; published, a run without one right answer saves nothing."""
    real = Trainer.score

    def nothing_right(self, classifier):
        return dataclasses.replace(real(self, classifier), accuracy=0.0)

    monkeypatch.setattr(Trainer, "score", nothing_right)
    assert programs.train("msf", flags(given, tmp_path)) == 0
    folder = tmp_path / "5_r" / LE / "lb"
    told = json.loads((folder / "train.json").read_text())
    assert told["best_cycle"] == 0 and [entry["improved"] for entry in told["cycles"]] == [True, False]
    assert (folder / "classifier.pth.tar").is_file() and (folder / "MSF_5_r_gzsl_zs.npy").is_file()


@pytest.mark.slow
def test_second_run_leaves_the_first_in_a_folder_of_its_own(given, tmp_path, capsys):
    assert programs.train("msf", flags(given, tmp_path)) == 0
    folder = tmp_path / "5_r" / LE / "lb"
    (folder / "gating_model.pkl").write_bytes(b"gate of the first")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert programs.train("msf", flags(given, tmp_path, num_cycles=1, latent_size=6)) == 0
    assert {path.name: path.read_bytes() for path in (folder / "previous" / "1").iterdir()} == first
    assert not (folder / "se_59.pth.tar").exists() and (folder / "se_29.pth.tar").exists()
    assert "previous/1" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "word"), [("phase", "vall"), ("mode", "evall")])
def test_typo_is_no_other_command(flag, word, given, tmp_path, capsys):
    assert programs.train("msf", flags(given, tmp_path, **{flag: word})) == 2
    assert f"--{flag}" in one_error(capsys) and not (tmp_path / "5_r").exists()


@pytest.mark.slow
def test_modes_of_evaluation(given, tmp_path, capsys):
    assert programs.train("fsvae", flags(given, tmp_path)) == 0
    capsys.readouterr()
    assert programs.train("fsvae", flags(given, tmp_path, mode="eval")) == 2
    assert capsys.readouterr().out == "Mention Epoch to Load\n"
    told = json.loads((tmp_path / "5_r" / LE / "lb" / "train.json").read_text())
    epoch = 30 * (told["best_cycle"] + 1) - 1
    assert programs.train("fsvae", flags(given, tmp_path, mode="eval", load_epoch=epoch, load_classifier=True)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"zsl accuracy  {told['zsl_accuracy']}"
    assert programs.train("fsvae", flags(given, tmp_path, mode="eval", load_epoch=epoch)) == 0
    classifier = tmp_path / "5_r" / LE / "lb" / "classifier.pth.tar"
    classifier.rename(classifier.with_name("clasifier.pth.tar"))  # as in archives of SynSE
    assert programs.train("fsvae", flags(given, tmp_path, mode="eval", load_epoch=epoch, load_classifier=True)) == 0
    assert programs.train("fsvae", flags(given, tmp_path, mode="eval", load_epoch=7)) == 2
    assert "29, 59" in one_error(capsys)


@pytest.mark.parametrize(("count", "unseen"), [(60, 5), (60, 12), (120, 10), (120, 24)])
def test_splits(count, unseen):
    train, val = (class_splits.load("r", unseen, count, phase) for phase in ("train", "val"))
    assert np.array_equal(np.sort(np.concatenate([train.seen, train.unseen])), np.arange(count))
    assert np.array_equal(np.sort(np.concatenate([val.seen, val.unseen])), train.seen)
    assert len(train.unseen) == len(val.unseen) == unseen
    assert (np.diff(train.unseen) > 0).all() and (np.diff(val.unseen) > 0).all()


def test_published_splits():
    assert class_splits.load("r", 5, 60).unseen.tolist() == [10, 11, 19, 26, 56]
    assert class_splits.load("r", 12, 60, "val").unseen.tolist() == [4, 8, 10, 13, 17, 22, 30, 33, 39, 46, 50, 54]
    assert class_splits.load("r", 24, 120).unseen.tolist()[-5:] == [94, 104, 113, 114, 119]


def test_synthetic_benchmark_checksums(tmp_path):
    """The main setting, to the figures of the recipe."""
    texts = ROOT / "tests" / "parity" / "text_feats"
    train, val = synthetic.write(tmp_path, texts, 60, 12, LE, "lb")
    expected = {
        (train, "train"): ((2880, 256), 391023.75), (train, "ztest"): ((720, 256), 97746.07),
        (train, "gtest"): ((1200, 256), 162717.87), (train, "gtest_out"): ((1200, 60), -402005.55),
        (val, "train"): ((2160, 256), 292521.23), (val, "ztest"): ((720, 256), 97986.65),
        (val, "val"): ((720, 256), 97707.01), (val, "val_out"): ((720, 60), -294361.76),
    }  # fmt: skip
    for (folder, name), (shape, total) in expected.items():
        found = np.load(folder / f"{name}.npy")
        assert found.shape == shape
        assert found.sum(dtype=np.float64) == pytest.approx(total, rel=1e-6)


@pytest.mark.slow
def test_staged_script(given, tmp_path):
    """fsvae_60.sh with one split and text mode, in a copy of the room: headings, log line, figures."""
    room = tmp_path / "FS-VAE"
    room.mkdir()
    for path in (ROOT / "FS-VAE").glob("*"):
        if path.suffix in (".py", ".sh"):
            (room / path.name).symlink_to(path)
    script_copy = room / "fsvae_60.sh"
    text = script_copy.read_text()
    script_copy.unlink()
    script_copy.write_text(text)
    place = copied(given, room)
    for mode in ("ad", "md"):  # so that there is nothing to encode
        np.save(place / "text_feats" / LE / f"{mode}_60.npy", np.ones((60, 32), np.float32))
    names = tmp_path / "bin"
    names.mkdir()
    (names / "python3").symlink_to(sys.executable)
    ran = subprocess.run(
        ["bash", str(script_copy), "--ss", "5", "--tm", "lb", "--num_cycles", "1", "--num_epoch_per_cycle", "20"],
        env=environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}, cwd=tmp_path,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    headings = [line for line in lines if line.split()[0] in ("NTU60u5", "Stage", "Log", "Finish")]
    assert headings == ["NTU60u5 lb", "Stage 1", "Stage 2", "Stage 3", "Stage 4", "Log", "Finish"]
    figures = json.loads((room / "results" / "5_r" / LE / "lb" / "gating_eval.json").read_text())
    za = json.loads((room / "results" / "5_r" / LE / "lb" / "train.json").read_text())["zsl_accuracy"]
    s, u, h = (f"{100 * figures[key]:.2f}" for key in ("seen_accuracy", "unseen_accuracy", "h_mean"))
    assert f"S_Acc: {s}, U_Acc: {u}, H_Mean: {h}" in lines
    assert f"Best ZSL Acc: {100 * za:.2f} on cycle 0" in lines
    logged = (room / "log" / "ntu60-B32-ls100-nepc20.txt").read_text()
    assert logged == f"zsl_acc: {100 * za:.2f}, seen_acc: {s}, unseen_acc: {u}, h_mean: {h},    in 60u5-lb\n"
    (place / "sk_feats" / "shift_5_r" / "train.npy").unlink()
    ran = subprocess.run(
        ["bash", str(script_copy), "--ss", "5", "--tm", "lb", "ad", "--num_cycles", "1", "--num_epoch_per_cycle", "5"],
        env=environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}, cwd=tmp_path,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ran.returncode == 2 and "train.npy is missing" in ran.stderr
    assert "Stage 2" not in ran.stdout and "ad" not in ran.stdout.split()


@pytest.mark.parametrize("variant", ROOMS.values())
def test_smoke(variant, capsys):
    torch.manual_seed(0)
    assert smoke_test(variant, ["--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Running smoke test on cpu"
    figures = dict(part.split("=") for part in lines[1].removeprefix("Smoke test ok. ").split(", "))
    assert float(figures["Loss"]) == pytest.approx(float(figures["recon"]) + float(figures["kld"]), abs=2e-4)
    assert float(figures["recon"]) > 0 > float(figures["kld"])


def test_defaults_of_the_calibrated_loss():
    """The documented line gives none of the three; each that is given changes what the others mean as published."""
    for more, expected in (
        ([], (0.5, 100.0, True)), (["--ntu", "120"], (0.1, 100.0, True)), (["--alpha", "0.3"], (0.3, 1.0, False)),
        (["--lmd", "10"], (0.5, 10.0, False)), (["--alpha", "1", "--lmd", "9", "--use_cr_fact", "1"], (1.0, 9.0, True)),
        (["--version", "neg_t"], (0.5, 100.0, True)),
    ):  # fmt: skip
        words = ["--ntu", "60", "--ss", "5", "--tm", "lb", "--le", LE, "--dataset", "x", "--wdir", "y", "--num_cycles",
                 "1", "--num_epoch_per_cycle", "1", "--latent_size", "1", *more]  # fmt: skip
        found = programs.objective_of("fsvae", programs._train_flags("fsvae").parse_args(words))
        assert (found.alpha, found.lmd, found.use_cr_fact) == expected
