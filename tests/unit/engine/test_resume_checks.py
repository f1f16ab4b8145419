"""--resume goes on with the same data, from a checkpoint that is whole: the wrong is refused, the different is said."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_room

from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.engine import digests, last_checkpoint
from skeleton_lab.errors import WeightsError

# A data set whose clips come from a file, which may be another one or lie elsewhere when the run goes on.
STORED = """
import numpy as np
from feeders.toy_feeder import Feeder as Toy


class Feeder(Toy):
    def __init__(self, data_path, split="train", **more):
        super().__init__(split=split, **more)
        self.data = self.data * np.float32(np.load(data_path))
        self.broken = "bad" in data_path

    def __getitem__(self, i):
        if self.broken and i == 7:
            from skeleton_lab.errors import ArchiveError
            raise ArchiveError("x.npz: x_test: sample 7 holds NaN")
        return super().__getitem__(i)
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    room = toy_room.make_room(tmp_path_factory.mktemp("room"))
    (room / "feeders" / "stored.py").write_text(STORED)
    for name, value in (("one", 1.0), ("copy", 1.0), ("bad", 1.0), ("two", 2.0)):
        np.save(room / f"{name}.npy", value)
    return room


def arguments(work: Path, *more: str, train: str = "one", test: str = "one") -> list[str]:
    return toy_room.arguments(
        work, "--feeder", "feeders.stored.Feeder", *more, train=f"n=22,data_path='{train}.npy'",
        test=f"n=13,data_path='{test}.npy'",
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(room, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("finished")
    assert toy_room.call(room, arguments(work)) == 0
    return work


@pytest.fixture
def work(finished, tmp_path) -> Path:
    """A run of two epochs, of which a third may be made."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "last.ckpt").write_bytes((finished / "last.ckpt").read_bytes())
    return work


def more_epochs(room: Path, work: Path, *flags: str, **data) -> int:
    return toy_room.call(room, arguments(work, "--resume", "--num-epoch", "3", *flags, **data))


def test_another_archive_of_the_same_size_is_refused(room, work, capsys):
    before = (work / "last.ckpt").read_bytes()
    for split in ("train", "test"):
        assert more_epochs(room, work, **{split: "two"}) == 2
        err = capsys.readouterr().err
        assert f"the {split} data is not that of the earlier run" in err and err.count("\n") == 1, err
    assert (work / "last.ckpt").read_bytes() == before


def test_the_same_archive_elsewhere_is_said(room, work, capsys):
    assert more_epochs(room, work, train="copy") == 0
    out = capsys.readouterr().out
    assert "train_feeder_args.data_path was one.npy and is copy.npy now: its data is the same" in out
    assert out.count("--resume:") == 1


def test_another_forward_batch_is_said_and_taken(room, work, capsys):
    assert more_epochs(room, work, "--forward-batch-size", "4") == 0
    out = capsys.readouterr().out
    assert "--resume: forward_batch_size was 8 and is 4 now: batch norm sees other pieces" in out
    assert more_epochs(room, work, "--forward-batch-size", "8", "--num-epoch", "4") == 0
    assert toy_room.weights(work / "last.ckpt")["state"]["forward_batch"] == 8, "the flag counts, not the earlier one"


def test_digests_depend_on_content_not_on_the_file(tmp_path):
    """The Kaggle archive, and the same clips as (N, C, T, V, M) with other padding and a third person of zeros."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 12, 2, 25, 3)).astype(np.float32)  # N, T, M, V, C
    x[:, 9:] = 0
    y = np.eye(5, dtype=np.float32)[np.arange(20) % 5]
    kaggle, five = tmp_path / "a.npz", tmp_path / "b.npz"
    np.savez(kaggle, x_train=x.reshape(20, 12, 150), y_train=y, x_test=x.reshape(20, 12, 150), y_test=y)
    wide = np.zeros((20, 3, 30, 25, 2), np.float32)
    wide[:, :, :12] = x.transpose(0, 4, 1, 3, 2)
    np.savez(five, x_train=wide, y_train=y, x_test=wide, y_test=y)

    def digest(path: Path) -> dict:
        clips = open_archive(path, "train")
        return digests.of_data(Feeder(clips, [], range(len(clips))))

    first = digest(kaggle)
    assert first == digest(five) and first["samples"] == 20
    x[0, 3, 1, 7, 2] += 1e-6
    np.savez(kaggle, x_train=x.reshape(20, 12, 150), y_train=y, x_test=x.reshape(20, 12, 150), y_test=y)
    changed = digest(kaggle)
    assert changed["rows"] != first["rows"] and changed["labels"] == first["labels"]
    np.savez(kaggle, x_train=x.reshape(20, 12, 150), y_train=y[::-1], x_test=x.reshape(20, 12, 150), y_test=y)
    assert digest(kaggle)["labels"] != first["labels"]


def test_the_stream_of_nw_ucla_belongs_to_the_data(tmp_path):
    from tiny_data import make_ucla

    from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder

    make_ucla(tmp_path / "all_sqe")
    a, b = (
        digests.of_data(UCLAFeeder(data_path=word, label_path="train", root=str(tmp_path / "all_sqe")))
        for word in ("joint", "bone")
    )
    assert a["rows"] == b["rows"] and a["stream"] == [] and b["stream"] == ["bone"]


@pytest.mark.slow
def test_every_bit_of_the_content_counts(finished, tmp_path):
    """Flips anywhere in the file: refused, or without any effect on what is read."""
    content = last_checkpoint.load_last(finished)
    raw = (finished / "last.ckpt").read_bytes()
    rng, refused = random.Random(4), 0
    for _ in range(150):
        place = rng.randrange(len(raw))
        changed = bytearray(raw)
        changed[place] ^= 1 << rng.randrange(8)
        (tmp_path / "last.ckpt").write_bytes(changed)
        try:
            read = last_checkpoint.load_last(tmp_path)
        except last_checkpoint.WeightsError as error:
            refused += 1
            assert "\n" not in str(error) and "last.ckpt" in str(error)
        else:
            assert digests.of_content(read) == digests.of_content(content)
    assert refused > 20


def paths(value, at=()):
    """Every place in the content."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(inner, (*at, key))


def mutate(rng: random.Random, content: dict) -> dict:
    """One place taken away, or holding something else."""
    at = rng.choice(
        [place for place in paths(content) if place and place[0] not in ("options", "circumstances", "data")]
    )
    holder = content
    for key in at[:-1]:
        holder = holder[key]
    odd = [
        None,
        -1,
        2**70,
        1e308,
        float("nan"),
        "x",
        [],
        {},
        torch.zeros(3),
        torch.zeros(2, 2, dtype=torch.int64),
        True,
    ]
    if isinstance(holder, dict) and rng.random() < 0.4:
        del holder[at[-1]]
    else:
        holder[at[-1]] = rng.choice(odd)
    return content


@pytest.mark.parametrize("odd", [
    lambda t: t.to_sparse(), lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
], ids=["sparse", "quantised"])  # fmt: skip
def test_tensors_of_a_kind_that_nobody_wrote_are_one_line(finished, tmp_path, odd):
    content = toy_room.weights(finished / "last.ckpt")
    name = next(iter(content["model"]))
    content["model"][name] = odd(content["model"][name])
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(WeightsError, match=r"damaged|not a file of plain"):  # torch 2.3 refuses the second itself
        last_checkpoint.load_last(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("signed", [True, False], ids=["digest", "before_digests"])
def test_a_checkpoint_with_anything_missing_or_odd_is_one_line(room, finished, tmp_path, capsys, signed):
    """With a right digest (as if so written) or, as earlier versions wrote it, without: never a traceback."""
    whole = toy_room.weights(finished / "last.ckpt")
    del whole["digest"]
    if not signed:
        del whole["data"], whole["circumstances"]
    rng, work, codes = random.Random(11 + signed), tmp_path / "work", []
    work.mkdir()
    for _ in range(60):
        content = mutate(rng, copy.deepcopy(whole))
        if signed:
            content["digest"] = digests.of_content(content)
        torch.save(content, work / "last.ckpt")
        codes.append(more_epochs(room, work))
        err = capsys.readouterr().err
        assert codes[-1] in (0, 2) and "Traceback" not in err and err.count("\n") == (codes[-1] == 2), err
        if codes[-1] == 2:
            assert "last.ckpt" in err or "--resume" in err or "seed" in err, err
    assert codes.count(2) > 30


def test_a_checkpoint_without_digests_goes_on(room, work, capsys):
    content = toy_room.weights(work / "last.ckpt")
    for name in last_checkpoint.SINCE_DIGESTS:
        del content[name]
    torch.save(content, work / "last.ckpt")
    assert more_epochs(room, work, train="two") == 0
    assert capsys.readouterr().out.count("there are no digests") == 1
    assert "digest" in toy_room.weights(work / "last.ckpt")


def test_an_epoch_that_has_been_begun_must_be_reached(tmp_path, capsys):
    """The run ends in the middle of epoch 2: weights of epoch 1 are no more."""
    room, work = toy_room.make_room(tmp_path / "room"), tmp_path / "work"
    flags = ("--checkpoint-minutes", "0", "--model-args", "poison=7")
    assert toy_room.call(room, toy_room.arguments(work, *flags, train="n=34")) == 1
    state = toy_room.weights(work / "last.ckpt")["state"]
    assert state["epoch"] == 1 and state["iteration"] > 0
    capsys.readouterr()
    line = [*toy_room.arguments(work, *flags, "--resume", train="n=34"), "--num-epoch", "1"]
    assert toy_room.call(room, line) == 2
    err = capsys.readouterr().err
    assert "middle of epoch 2" in err and "--num-epoch 2" in err and err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("program", "CFHSGT")
def test_resume_before_the_first_checkpoint_starts_afresh(tmp_path, capsys, program):
    """In every program; a queue puts the same line back. --weights are loaded then."""
    room, work = toy_room.make_room(tmp_path / "room"), tmp_path / "work"
    feeder = "Pairs" if program == "T" else "Feeder"
    timed = ",timed=True" * (program == "S")
    verb = ["recognition"] * (program == "T")
    more = ("--forward-batch-size", "4") if program == "G" else ()
    line = [*verb, *toy_room.arguments(work, *more, "--num-epoch", "1", feeder=feeder, train="n=22" + timed,
                                       test="n=13" + timed)]  # fmt: skip
    work.mkdir()
    (work / "config.yaml").write_text("left: by a run that got nowhere\n")
    assert toy_room.call(room, [*line, "--resume"], program) == 0
    out = capsys.readouterr().out
    assert out.count("--resume: there is no ") == 1 and "starts at its beginning" in out
    assert toy_room.events(work, "start")[0]["resumed"] is False
    resumed = toy_room.weights(work / "last.ckpt")["model"]
    other = tmp_path / "other"
    seed = ["--seed", str(toy_room.weights(work / "last.ckpt")["seed"])]
    line[line.index(str(work))] = str(other)
    assert toy_room.call(room, [*line, *seed], program) == 0
    assert toy_room.same(resumed, toy_room.weights(other / "last.ckpt")["model"])


def test_resume_without_checkpoint_moves_an_earlier_run_aside(room, work, capsys):
    assert more_epochs(room, work) == 0
    (work / "last.ckpt").unlink()
    assert more_epochs(room, work) == 0
    out = capsys.readouterr().out
    assert "starts at its beginning" in out and "was moved to" in out and (work / "previous" / "1").is_dir()


def test_nan_in_the_test_split_does_not_cost_the_epoch(room, tmp_path, capsys):
    work = tmp_path / "work"
    assert toy_room.call(room, arguments(work, test="bad")) == 2
    err = capsys.readouterr().err
    assert "sample 7 holds NaN" in err and err.count("\n") == 1
    state = toy_room.weights(work / "last.ckpt")["state"]
    assert (state["epoch"], state["iteration"]) == (0, 2)
    assert toy_room.call(room, arguments(work, "--resume", test="two")) == 0, "the test set was put right"
    assert "nothing had been measured on it yet" in capsys.readouterr().out
    unbroken = tmp_path / "unbroken"
    assert toy_room.call(room, arguments(unbroken, test="two")) == 0
    assert toy_room.same(*(toy_room.weights(w / "last.ckpt")["model"] for w in (work, unbroken)))


def test_phase_test_with_resume_tests_the_weights(room, finished, tmp_path, capsys):
    """It once tested a network without weights."""
    weights = tmp_path / "w.pt"
    torch.save(toy_room.weights(finished / "last.ckpt")["model"], weights)
    rows = []
    for name, more in (("a", []), ("b", ["--resume"])):
        line = arguments(tmp_path / name, "--phase", "test", "--weights", str(weights), *more)
        assert toy_room.call(room, line) == 0
        rows.append(toy_room.events(tmp_path / name, "eval")[0]["loss"])
    assert rows[0] == rows[1] and "--resume: no effect in phase test" in capsys.readouterr().out


def test_the_seed_of_the_run_holds_before_the_data_is_split(tmp_path, monkeypatch):
    """MS-G3D draws a seed; --val-split once held out other subjects when such a run went on."""
    from skeleton_lab.engine import build

    room, seeds, real = toy_room.make_room(tmp_path / "room"), [], build.make_feeders
    monkeypatch.setattr(build, "make_feeders", lambda options: (seeds.append(options.seed), real(options))[1])
    line = toy_room.arguments(tmp_path / "work", "--forward-batch-size", "4")
    assert toy_room.call(room, line, "G") == 0
    for epochs in ("3", "4"):
        assert toy_room.call(room, [*line, "--resume", "--num-epoch", epochs], "G") == 0
    assert len(set(seeds)) == 1 and len(seeds) == 3
