"""The programs' behaviour on a toy room: files, log lines, weights, accumulation, memory, labels, stopping."""

from __future__ import annotations

import errno
import pickle
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_room
import yaml

from skeleton_lab.engine.logging import Summaries


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """``lab(*flags, program="C", work="work")`` runs the program in a toy room and returns (exit code, work dir)."""
    room = toy_room.make_room(tmp_path / "room")
    monkeypatch.chdir(room)

    def call(*more: str, program: str = "C", work: str = "work", **data: str) -> tuple[int, Path]:
        verb = ["recognition"] if program == "T" else []
        argv = [*verb, *toy_room.arguments(tmp_path / work, *more, **data)]
        return toy_room.call(room, argv, program), tmp_path / work

    return call


def log_lines(work: Path) -> list[str]:
    return (work / "log.txt").read_text().splitlines()


def test_only_stgcn_draws_its_start_and_before_it_loads_weights(lab):
    still = ("--base-lr", "0", "--weight-decay", "0", "--num-epoch", "1", "--save-epoch", "0")
    norm = toy_room.weights(lab(*still, work="c")[1] / "runs-1-2.pt")["norm.weight"]
    assert torch.equal(norm, torch.ones(15))
    more = (*still, "--save-interval", "1")
    first = lab(*more, program="T", work="t", feeder="Pairs")[1] / "epoch1_model.pt"
    drawn = toy_room.weights(first)["norm.weight"]
    assert 0.005 < drawn.std() < 0.04 and not toy_room.weights(first)["norm.bias"].any()
    more = (*more, "--seed", "5", "--weights", str(first))
    _, work = lab(*more, program="T", work="w", feeder="Pairs")
    assert torch.equal(toy_room.weights(work / "epoch1_model.pt")["norm.weight"], drawn)


def test_samples_of_one_name_are_counted(lab):
    code, work = lab("--num-epoch", "1", "--test-feeder-args", "{'split': 'test', 'n': 13, 'named': 10}")
    scores = pickle.loads((work / "epoch1_test_score.pkl").read_bytes())
    assert code == 0 and len(scores) == 10 and len(np.load(work / "evaluation.npz")["logits"]) == 13
    assert "3 of 13 samples have the name of another one" in (work / "log.txt").read_text()


def test_files_of_a_training(lab):
    code, work = lab("--save-epoch", "0")
    assert code == 0
    expected = {
        "config.yaml", "log.txt", "metrics.jsonl", "last.ckpt", "runs-1-2.pt", "runs-2-4.pt", "toy_net.py",
        "epoch1_test_score.pkl", "epoch1_test_each_class_acc.csv", "epoch2_test_each_class_acc.csv",
        "evaluation.npz", "hardest.npz", "runs",
    }  # fmt: skip
    best = toy_room.events(work, "result")[0]["best"]
    expected |= {f"runs-{best['epoch']}-{best['step']}_{word}.txt" for word in ("right", "wrong")}
    assert {p.name for p in work.iterdir()} == expected
    state = toy_room.weights(work / "runs-2-4.pt")
    assert next(iter(state)) == "norm.weight" and all(v.device.type == "cpu" for v in state.values())
    scores = pickle.loads((work / "epoch1_test_score.pkl").read_bytes())
    assert list(scores) == [f"test_{i}" for i in range(13)]
    assert scores["test_0"].dtype == np.float32 and scores["test_0"].shape == (4,)
    saved = np.load(work / "evaluation.npz")
    logits, labels = saved["logits"], saved["labels"]
    assert np.array_equal(logits, np.stack(list(scores.values()))) and list(labels) == [i % 4 for i in range(13)]
    accuracy = (logits.argmax(1) == labels).mean()
    assert accuracy == pytest.approx(best["top1"])
    wrong = (work / f"runs-{best['epoch']}-{best['step']}_wrong.txt").read_text().split()
    assert [int(line.split(",")[0]) for line in wrong] == np.flatnonzero(logits.argmax(1) != labels).tolist()
    assert len((work / f"runs-{best['epoch']}-{best['step']}_right.txt").read_text().split()) == 13
    for event in toy_room.events(work, "eval"):
        confusion = np.loadtxt(work / f"epoch{event['epoch']}_test_each_class_acc.csv", delimiter=",")
        assert confusion.shape == (5, 4) and confusion[1:].sum() == 13
        assert np.trace(confusion[1:]) / 13 == pytest.approx(event["top1"]), "each epoch's own"
    assert saved["epoch"] == best["epoch"]
    hard = np.load(work / "hardest.npz")
    assert hard["data"].shape[1:] == (3, 4, 5, 1) and (hard["label"] != hard["pred"]).all()
    assert yaml.safe_load((work / "config.yaml").read_text())["batch_size"] == 8


def test_files_of_the_first_epoch_stay_its_own(lab):
    """The best epoch's scores stand under the published name; epoch 1's own are beside them."""
    _, work = lab("--save-score", "True", "--num-epoch", "4", "--base-lr", "0.5")
    tops = {event["epoch"]: event["top1"] for event in toy_room.events(work, "eval")}
    best = toy_room.events(work, "result")[0]["best"]["epoch"]
    assert best > 1 and tops[best] > tops[1], "the case of this test"

    def top1(name: str) -> float:
        logits = np.stack(list(pickle.loads((work / name).read_bytes()).values()))
        return float((logits.argmax(1) == np.arange(13) % 4).mean())

    assert top1("epoch1_test_score.pkl") == pytest.approx(tops[best])
    assert top1("epoch1_own_test_score.pkl") == pytest.approx(tops[1])
    for epoch, expected in tops.items():
        confusion = np.loadtxt(work / f"epoch{epoch}_test_each_class_acc.csv", delimiter=",")[1:]
        assert np.trace(confusion) / 13 == pytest.approx(expected)
    before = (work / "epoch1_test_each_class_acc.csv").read_bytes()
    weights = next(work.glob("runs-4-*.pt"))
    assert lab("--phase", "test", "--weights", str(weights))[0] == 0
    assert (work / "epoch1_test_each_class_acc.csv").read_bytes() == before
    assert (work / f"{weights.stem}_test_each_class_acc.csv").exists()
    assert np.load(work / "evaluation.npz")["epoch"] == 4


def test_log_lines(lab):
    _, work = lab("--warm_up_epoch", "1")
    text = (work / "log.txt").read_text()
    stamp = r"\[ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} \] "
    for line in (
        r"using warm up, epoch: 1",
        r"Parameters: .*work/config\.yaml",
        r"# Parameters: 354",
        r"Training epoch: 2",
        r"\tMean training loss: \d\.\d{4}\.  Mean training acc: \d+\.\d\d%\.",
        r"\tTime consumption: \[Data\]\d\d\d?%, \[Network\]\d\d\d?%",
        r"Eval epoch: 2",
        r"\tMean test loss of 3 batches: \d\.\d+\.",
        r"\tTop1: \d+\.\d\d%",
        r"Best accuracy: 0\.\d+",
        r"Epoch number: [12]",
        r"Model total number of params: 354",
        r"seed: 1",
        r"Best on test \(chosen on the test set itself\): epoch [12], Top1 .*",
        r"Last epoch: epoch 2, Top1 .*",
    ):
        assert re.search(f"^{stamp}{line}$", text, re.M), line
    assert text.count("Eval epoch: 1") == 1, "the final test stays out of log.txt"
    assert toy_room.events(work, "start")[0]["num_class"] == 4


@pytest.mark.slow
def test_styles_of_the_other_programs(lab, capsys):
    _, g = lab("--forward-batch-size", "4", program="G", work="g")
    assert (g / "weights/weights-2-4.pt").exists() and (g / "main.py").exists()
    assert (g / "trainlogs/train").is_dir()
    checkpoint = toy_room.weights(g / "checkpoints/checkpoint-2-fwbz4-4.pt")
    assert checkpoint["epoch"] == 2 and checkpoint["lr_scheduler_states"]["last_epoch"] == 2
    lines = [line.partition("] ")[2] for line in log_lines(g)]
    assert "Training epoch: 1, LR: 0.1000" in lines and any(line.startswith("\tTop 1: ") for line in lines)
    half, whole = re.search(r"Mean training loss: (\S+) \(BS 8: (\S+)\)\.", "\n".join(lines)).groups()
    assert float(half) == pytest.approx(float(whole) / 2, abs=2e-4)
    more = ("--weights", str(g / "weights/weights-2-4.pt"), "--start-epoch", "2", "--num-epoch", "3")
    code, _ = lab("--forward-batch-size", "4", "--checkpoint", str(g / "checkpoints/checkpoint-2-fwbz4-4.pt"), *more,
                  program="G", work="g3")  # fmt: skip
    assert code == 0 and "Starting last epoch: 2" in capsys.readouterr().out

    _, t = lab("--eval-interval", "1", program="T", work="t", feeder="Pairs")
    assert (t / "epoch2_model.pt").exists() and not (t / "epoch1_model.pt").exists()
    text = (t / "log.txt").read_text()
    assert re.search(r"^\[\d\d\.\d\d\.\d\d\|\d\d:\d\d:\d\d\] Training epoch: 0$", text, re.M)
    assert "\tIter 0 Done. | loss: " in text and "The model has been saved as" in text

    _, s = lab("--grad-clip", "True", program="S", work="s", train="n=22,timed=True", test="n=13,timed=True")
    assert {p.name for p in s.glob("epoch*")} == {
        "epoch1_test_score.pkl", "epoch2_test_score.pkl", "epoch2_test_each_class_acc.csv",
    }, "epoch 1 was not evaluated"  # fmt: skip
    assert [event["epoch"] for event in toy_room.events(s, "eval")] == [2]
    assert "\tLearning Rate: 0.0" in (s / "log.txt").read_text()

    code, h = lab("--model-args", "extra=True", program="H", work="h")
    assert code == 0 and re.search(r"loss: \d\.\d{4}\. Mean", (h / "log.txt").read_text())


@pytest.mark.slow
def test_phase_test_and_model_size(lab, capsys):
    _, work = lab()
    best = toy_room.events(work, "result")[0]["best"]
    file = work / f"runs-{best['epoch']}-{best['step']}.pt"
    before = (work / "metrics.jsonl").read_text(), (work / "config.yaml").read_text()
    torch.save({"state_dict": {f"module.{k}": v for k, v in toy_room.weights(work / "runs-2-4.pt").items()}}, "w.pt")
    code, tested = lab("--phase", "test", "--weights", "w.pt", "--save-score", "True", work="tested")
    assert code == 0
    last = toy_room.events(work, "result")[0]["last"]
    assert toy_room.events(tested, "eval")[0]["top1"] == last["top1"]
    assert Path("w_wrong.txt").exists() and (tested / "epoch1_test_score.pkl").exists()
    assert "Eval epoch" not in (tested / "log.txt").read_text()
    if file.exists():
        assert lab("--phase", "test", "--weights", str(file))[0] == 0
        assert before == ((work / "metrics.jsonl").read_text(), (work / "config.yaml").read_text())
    assert lab("--phase", "model_size")[0] == 0
    assert "# Parameters: 354" in capsys.readouterr().out


@pytest.mark.slow
def test_weights_that_do_not_fit(lab, capsys):
    _, work = lab("--num-epoch", "1")
    state = toy_room.weights(work / "runs-1-2.pt")
    del state["fc.bias"]
    torch.save(state, "partial.pt")
    code, other = lab("--weights", "partial.pt", work="other")
    assert code == 0 and "Can not find these weights:" in (other / "log.txt").read_text()
    code, _ = lab("--weights", "partial.pt", "--phase", "test", work="t")
    assert code == 2 and "fc.bias" in capsys.readouterr().err
    code, _ = lab("--weights", "partial.pt", "--phase", "test", "--ignore-weights", "fc", work="t")
    assert code == 0
    torch.save({**state, "extra": torch.zeros(1)}, "extra.pt")
    code, _ = lab("--weights", "extra.pt", work="t")
    assert code == 2 and "extra" in capsys.readouterr().err
    Path("w.pkl").write_bytes(pickle.dumps({k: v.numpy() for k, v in state.items()}))
    code, _ = lab("--weights", "w.pkl", work="t")
    assert code == 0


@pytest.mark.slow
def test_accumulation_equals_the_large_batch(lab):
    flags = ("--model-args", "norm=False,drop=0.0", "--num-epoch", "3")
    _, whole = lab(*flags, work="whole")
    _, pieces = lab(*flags, "--forward-batch-size", "2", work="pieces")
    a, b = (toy_room.weights(w / "runs-3-6.pt") for w in (whole, pieces))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6)
    losses = [[e["loss"] for e in toy_room.events(w, "epoch")] for w in (whole, pieces)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.slow
def test_out_of_memory_goes_on_with_less(lab):
    """The batch is repeated with the same random numbers and untouched batch-norm statistics."""
    flags = ("--num-epoch", "2")
    _, small = lab("--model-args", "limit=3", *flags, work="small")
    _, asked = lab("--forward-batch-size", "2", *flags, work="asked")
    assert toy_room.same(*(toy_room.weights(w / "runs-2-4.pt") for w in (small, asked)))
    text = (small / "log.txt").read_text()
    assert text.count("going on with --forward-batch-size 4;") == text.count("--forward-batch-size 2;") == 1
    assert text.count("evaluation goes on with 3 clips") == 1
    assert toy_room.events(small, "eval")[0]["top1"] == toy_room.events(asked, "eval")[0]["top1"]


@pytest.mark.slow
def test_not_even_one_clip_fits(lab, capsys):
    code, _ = lab("--model-args", "limit=-1,norm=False")
    assert code == 2 and "single clip" in capsys.readouterr().err


def test_a_full_disk_under_tensorboard_shows_no_traceback(tmp_path, capfd):
    summaries = Summaries(tmp_path)
    summaries.add("train", 1, loss=1.0)
    summaries.writers["train"].flush()
    writer = summaries.writers["train"].file_writer.event_writer._async_writer

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer._writer.write = full
    with pytest.raises(OSError, match="No space"):
        for step in range(1000):
            summaries.add("train", step, loss=1.0)
            time.sleep(0.001)
    with pytest.raises(OSError, match="No space"):
        summaries.close()
    assert not capfd.readouterr().err


def test_a_batch_norm_of_one_clip(lab, capsys):
    code, _ = lab("--forward-batch-size", "1")
    err = capsys.readouterr().err
    assert code == 2 and "--forward-batch-size 2 or more" in err and err.count("\n") == 1


def test_a_loss_that_is_no_number_stops_the_run(lab, capsys):
    code, work = lab("--model-args", "poison=4")
    err = capsys.readouterr().err
    assert code == 1 and "epoch 2, batch 2" in err and "--base-lr" in err and err.count("\n") == 1
    kept = toy_room.weights(work / "last.ckpt")
    assert kept["state"]["epoch"] == 1 and all(v.isfinite().all() for v in kept["model"].values())


@pytest.mark.parametrize(
    ("flags", "data", "words"),
    [
        ((), {"train": "n=22,wrong=7"}, ("7", "4 classes")),
        ((), {"test": "n=13,wrong=-1"}, ("-1", "0..3")),
        (("--batch-size", "64"), {}, ("--batch-size 64", "22")),
        (("--model-args", "colour=3"), {}, ("colour",)),
        ((), {"train": "colour=3"}, ("colour",)),
        (("--val-split", "subjects"), {}, ("--val-split", "subjects")),
        (("--activation-checkpointing",), {}, ("--activation-checkpointing",)),
    ],
)
def test_complaints(lab, capsys, flags, data, words):
    code, work = lab(*flags, **data)
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    assert all(word in err for word in words), err
    assert not (work / "last.ckpt").exists()


@pytest.mark.slow
def test_an_earlier_run_moves_aside(lab):
    _, work = lab("--num-epoch", "1", "--save-score", "True")
    (work / "notes.md").write_text("mine")
    first = toy_room.weights(work / "runs-1-2.pt")
    code, _ = lab("--seed", "2", "--weights", str(work / "runs-1-2.pt"), "--num-epoch", "3")
    assert code == 0 and (work / "notes.md").exists()
    moved = work / "previous" / "1"
    assert toy_room.same(first, toy_room.weights(moved / "runs-1-2.pt"))
    names = {p.name for p in moved.iterdir()}
    assert {"config.yaml", "log.txt", "metrics.jsonl", "last.ckpt", "toy_net.py", "evaluation.npz", "runs"} <= names
    assert not (work / "runs-1-2.pt").exists() and len(toy_room.events(work, "start")) == 1
    lab("--num-epoch", "1")
    assert (work / "previous" / "2" / "runs-3-6.pt").exists()


def test_a_refused_run_moves_nothing(lab):
    _, work = lab("--num-epoch", "1")
    before = {p: p.read_bytes() for p in work.rglob("*") if p.is_file()}
    assert lab("--batch-size", "64")[0] == 2
    assert all(p.read_bytes() == content for p, content in before.items()) and not (work / "previous").exists()


def test_a_full_disk_keeps_the_checkpoint(lab, monkeypatch, capsys):
    from skeleton_lab.utils import atomic

    real, evaluated = atomic.os.fsync, Path("../work/epoch1_test_each_class_acc.csv")

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if evaluated.exists() and toy_room.weights(Path("../work/last.ckpt"))["state"]["epoch"]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    code, work = lab("--num-epoch", "6")
    err = capsys.readouterr().err
    assert code == 2 and "No space left on device" in err and err.count("\n") == 1
    assert toy_room.weights(work / "last.ckpt")["state"]["epoch"] >= 1
    assert not list(work.glob(".*.tmp"))


def test_a_crash_before_the_rename_keeps_the_old_file(tmp_path, monkeypatch):
    from skeleton_lab.engine import checkpoint as checkpoints

    path = tmp_path / "last.ckpt"
    checkpoints.save_tensors(path, {"a": torch.ones(2)})
    monkeypatch.setattr(checkpoints.Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save_tensors(path, {"a": torch.zeros(2)})
    assert toy_room.weights(path)["a"].sum() == 2 and [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_run_without_test_data(lab, tmp_path):
    config = tmp_path / "c.yaml"
    argv = toy_room.arguments(tmp_path / "work")
    at = argv.index("--test-feeder-args")
    del argv[at : at + 2]
    config.write_text("test_feeder_args: {}\n")
    code = toy_room.call(Path.cwd(), [*argv, "--config", str(config)])
    assert code == 0 and "without evaluation" in (tmp_path / "work/log.txt").read_text()
    assert toy_room.events(tmp_path / "work", "result")[0]["best"] is None


@pytest.mark.slow
def test_workers_change_nothing(lab):
    _, none = lab(work="none")
    _, two = lab("--num-worker", "2", work="two")
    assert toy_room.same(*(toy_room.weights(w / "runs-2-4.pt") for w in (none, two)))


def test_a_dying_worker_is_one_line(lab, capsys, monkeypatch):
    Path("feeders/dying.py").write_text(
        "import os, signal\nfrom feeders.toy_feeder import Feeder as Base\n\n\nclass Feeder(Base):\n"
        "    def __getitem__(self, i):\n        os.kill(os.getpid(), signal.SIGBUS)\n"
    )
    code, _ = lab("--feeder", "feeders.dying.Feeder", "--num-worker", "1")
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 1 and "--shm-size=8g" in last and "--num-worker 0" in last


def test_the_best_epoch_is_the_first_of_equals(lab):
    """Accuracy that never rises, even one of 0, still has a best epoch: the first."""
    _, work = lab("--base-lr", "0", "--num-epoch", "3", "--model-args", "norm=False")
    assert toy_room.events(work, "result")[0]["best"]["epoch"] == 1
    assert (work / "runs-1-2_wrong.txt").exists() and not (work / "runs-1-2.pt").exists()
