"""Command lines and YAML files that cannot work: one line that names the culprit."""

from __future__ import annotations

from pathlib import Path

import pytest
from options_helpers import ROOM, options, recipe

from skeleton_lab.engine.config.options import parse
from skeleton_lab.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


BAD_FLAGS = [
    ("--bathc-size 8", "--bathc-size", "'--batch-size'"),
    ("--nun_epoch 8", "'--num-epoch'"),
    ("-x", "-x"),
    ("-- 1", "--"),
    ("--s 1", "ambiguous", "--seed", "--step"),
    ("--seed", "--seed", "expected one argument"),
    ("--device", "--device"),
    ("stray", "'stray'"),
    ("--seed 1 stray", "'stray'"),
    ("--base-lr abc", "--base-lr", "'abc'"),
    ("--base-lr nan", "--base-lr", "'nan'"),
    ("--base-lr inf", "--base-lr"),
    ("--weight-decay=-1", "--weight-decay", "-1"),
    ("--num-epoch 1.5", "--num-epoch", "'1.5'"),
    ("--num-epoch 0", "--num-epoch", "at least 1"),
    ("--batch-size 0", "--batch-size"),
    ("--batch-size -5", "--batch-size", "-5"),
    ("--test-batch-size 0", "--test-batch-size"),
    ("--num-worker -1", "--num-worker"),
    ("--show-topk 1 0", "--show-topk"),
    ("--step 30 x", "--step", "'x'"),
    ("--nesterov maybe", "--nesterov", "'maybe'"),
    ("--optimizer SGDD", "--optimizer", "'SGD'"),
    ("--optimizer sgd", "--optimizer", "'SGD'"),
    ("--phase tset", "--phase", "'test'"),
    ("--precision 8", "--precision"),
    ("--val-split subject", "--val-split", "'subjects'"),
    ("--val-share 1", "--val-share"),
    ("--amp-opt-level 4", "--amp-opt-level"),
    ("--half --precision bf16-mixed", "--half", "bf16-mixed"),
    ("--phase test", "--weights"),
    ("--start-epoch 80", "--start-epoch", "80"),
    ("--batch-size 8 --forward-batch-size 3", "8", "3", "--forward-batch-size 1"),
    ("--train-window-size 0", "--train-window-size"),
    ("--seed 99999999999", "--seed"),
    ("--num-worker 100000000", "--num-worker", "256"),
    ("--threads 100000000", "--threads", "1024"),
    ("--work-dir=", "--work-dir"),
    ("--weights=", "--weights is empty"),
    ("--config=", "--config is empty"),
    ("--model-args {x}", "--model-args", "{x}"),
    ("--config nowhere.yaml", "nowhere.yaml"),
    ("--config .", "folder"),
]


@pytest.mark.parametrize("line, words", [(line, words) for line, *words in BAD_FLAGS], ids=[b[0] for b in BAD_FLAGS])
def test_bad_flags(line, words):
    with pytest.raises(UsageError) as error:
        options("C", *line.split())
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


BAD_FILES = [
    ("nun_epoch: 3", "nun_epoch", "'num_epoch'"),
    ("num-epoch: 3", "num-epoch", "'num_epoch'"),
    ("num_epoch: 3\nnum_epoch: 4", "line 2", "num_epoch", "twice"),
    ("train_feeder_args: {a: 1, a: 2}", "twice"),
    ("num_epoch: abc", "num_epoch", "'abc'"),
    ("num_epoch: 1.5", "num_epoch", "1.5"),
    ("num_epoch: true", "num_epoch", "True"),
    ("num_epoch: [1]", "num_epoch"),
    ("num_epoch:", "num_epoch", "missing"),
    ("batch_size: 0", "batch_size"),
    ("nesterov: maybe", "nesterov"),
    ("nesterov: 2", "nesterov"),
    ("weights: 5", "weights"),
    ("device: []", "device"),
    ("device: [0, banana]", "device", "banana"),
    ("model_args: [1, 2]", "model_args"),
    ("model_args: {1: 2}", "model_args", "1"),
    ("optimizer: [SGD]", "optimizer"),
    ("- a\n- b", "list", "mapping"),
    ("just text", "mapping"),
    ("a: [1, 2\nb: }", "YAML"),
    ("a: !!python/object/apply:os.system ['touch pwned']", "YAML"),
    ("\x00", "x.yaml"),
    ("a: " + "[" * 1000, "x.yaml"),
]


@pytest.mark.parametrize("text, words", [(text, words) for text, *words in BAD_FILES], ids=range(len(BAD_FILES)))
def test_bad_files(text, words, here):
    with pytest.raises(UsageError) as error:
        options("C", config=text)
    for word in ["x.yaml", *words]:
        assert word in str(error.value)
    assert [path.name for path in here.iterdir()] == ["x.yaml"]


def test_a_huge_file_is_no_configuration(here):
    with open(here / "archive.yaml", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="larger than any configuration"):
        options("C", "--config", "archive.yaml")


def test_files_that_cannot_be_read():
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match=r"binary\.yaml"):
        options("C", "--config", "binary.yaml")
    with pytest.raises(UsageError, match=r"there is no such file here; change to .*CTR-GCN"):
        options("C", "--config", "config/nturgbd-cross-subject/default.yaml")


def test_work_dir_of_msg3d():
    with pytest.raises(UsageError, match="--work-dir"):
        parse(recipe("G"), [], ROOM)
    assert options("G", config={"work_dir": "from_yaml"}).work_dir == "w"
    assert parse(recipe("G"), ["--config", "x.yaml"], ROOM).work_dir == "from_yaml"


def test_accumulation_needs_whole_pieces():
    with pytest.raises(UsageError, match=r"--batch-size 8 .*--forward-batch-size 16.*--forward-batch-size 8 would do"):
        options("G", "--batch-size", "8")
    assert options("G", "--batch-size", "8", "--forward-batch-size", "4").forward_batch_size == 4
    assert options("G", "--batch-size", "8", "--phase", "test", "--weights", "w.pt").batch_size == 8


@pytest.mark.parametrize("word", ["demo", "demo_offline", "demo_old"])
def test_demos_of_stgcn(word):
    with pytest.raises(UsageError, match=f"'{word}' needs OpenPose"):
        options("T", word, "--video", "x.mp4")
    with pytest.raises(UsageError, match="Did you mean 'recognition'"):
        options("T", "recogniton")
