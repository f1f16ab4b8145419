"""Defaults, spellings, YAML files, presets and flags: which value wins."""

from __future__ import annotations

import pytest
from options_helpers import ALL, options, recipe

from skeleton_lab.engine.config.flags import FLAGS, GROUPS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------------------- the table

# flag: C F H S G T, as published; "-" where the program does not know the flag
DEFAULTS = """
work_dir            ./work_dir/temp ./work_dir/temp ./work_dir/temp ./work_dir w ./work_dir/tmp
config              None None None None None None
phase               train train train train train train
seed                1 1 1 1 None -
save_score          False False False False False -
save_result         - - - - - False
save_interval       1 1 1 1 1 10
save_epoch          30 30 55 30 - -
eval_interval       1 1 1 5 1 5
eval_start          - - - - 1 -
print_log           True True True True True True
show_topk           [1,5] [1,5] [1,5] [1,5] [1,5] [1,5]
feeder              feeder.feeder feeder.feeder feeder.feeder feeder.feeder feeder.feeder feeder.feeder
train_feeder_args   {} {} {} {} {} {}
model_args          {} {} {} {} {} {}
weights             None None None None None None
ignore_weights      [] [] [] [] [] []
optimizer           SGD SGD SGD AdamW SGD SGD
base_lr             0.01 0.01 0.01 0.01 0.01 0.01
step                [20,40,60] [20,40,60] [20,40,60] - [20,40,60] []
lr_decay_rate       0.1 0.1 0.1 0.1 0.1 0.1
warm_up_epoch       0 0 0 0 - -
lr_scheduler        - - - cosine - -
min_lr              - - - 0.01 - -
warmup_lr           - - - 0.01 - -
warmup_prefix       - - - False - -
nesterov            False False False False False True
weight_decay        0.0005 0.0005 0.0005 0.0005 0.0005 0.0001
grad_clip           - - - False - -
grad_max            - - - 1.0 - -
loss_type           - - - CE - -
batch_size          256 256 256 256 32 256
test_batch_size     256 256 256 256 256 256
forward_batch_size  - - - - 16 -
start_epoch         0 0 0 0 0 0
num_epoch           80 80 80 80 80 80
device              0 0 0 0 0 0
use_gpu             - - - - - True
half                - - - - False -
amp_opt_level       - - - - 1 -
"""


@pytest.mark.parametrize("line", DEFAULTS.strip().splitlines(), ids=lambda line: line.split()[0])
def test_defaults_of_every_program(line):
    name, *cells = line.split()
    for program, cell in zip(ALL, cells):
        if cell != "-":
            value = getattr(options(program), name)
            assert str(value).replace(" ", "") == cell, f"{program}: {name}"


def test_every_program_has_every_flag_as_attribute():
    for program in ALL:
        parsed = options(program)
        assert set(parsed.settings()) == set(FLAGS)
        assert parsed.recipe is recipe(program) and parsed.notices == []
    assert options("C").num_worker == 32 and options("S").num_worker == 4
    assert options("T").num_worker == 4 and options("T", "--device", "0", "1", "2", "3").num_worker == 16


def test_table_is_consistent():
    for name, flag in FLAGS.items():
        assert flag.name == name and flag.help and flag.group in GROUPS
    for program in ALL:
        own = recipe(program)
        assert set(own.flags) <= {name for name, flag in FLAGS.items() if flag.optional}
        assert {*own.without_effect, *own.defaults, *own.helps, *(rule[0] for rule in own.rules)} <= set(FLAGS)
        assert all(own.honours(FLAGS[name]) for name in own.without_effect)


# ------------------------------------------------------------------------------------------------- spelling


@pytest.mark.parametrize(
    "argv, name, value",
    [
        (["--batch-size", "8"], "batch_size", 8),
        (["--batch_size", "8"], "batch_size", 8),
        (["--test-batch_size=8"], "test_batch_size", 8),
        (["--batch", "8"], "batch_size", 8),
        (["--warm_up_epoch", "5"], "warm_up_epoch", 5),
        (["--warm-up-epoch", "5"], "warm_up_epoch", 5),
        (["--warm", "5"], "warm_up_epoch", 5),
        (["-model_saved_name", "m"], "model_saved_name", "m"),
        (["--model-saved-name", "m"], "model_saved_name", "m"),
        (["-w", "dir_a"], "work_dir", "dir_a"),
        (["-wdir_a"], "work_dir", "dir_a"),
        (["--work_dir=dir_a-b_c"], "work_dir", "dir_a-b_c"),
        (["--weights", "a_b-c.pt"], "weights", "a_b-c.pt"),
        (["--device", "-1"], "device", [-1]),
        (["--device=-1"], "device", [-1]),
        (["--step", "30", "40"], "step", [30, 40]),
        (["--show-topk", "1"], "show_topk", [1]),
        (["--base-lr", "1e-3"], "base_lr", 0.001),
        (["--seed", "1", "--seed", "2"], "seed", 2),
        (["--train_feeder_args", "bone=True"], "train_feeder_args", {"bone": True}),
        (["--model-args", "a=1,b=1", "--model_args", "{b: 2}"], "model_args", {"a": 1, "b": 2}),
        (["--ignore-weights", "fc", "data_bn"], "ignore_weights", ["fc", "data_bn"]),
        (["--resume"], "resume", True),
        (["--half"], "half", True),
        (["--report", "False"], "report", False),
        (["--activation-checkpointing"], "activation_checkpointing", True),
    ],
)
def test_spelling(argv, name, value):
    assert getattr(options("C", *argv), name) == value
    assert name in options("C", *argv).explicit


YES, NO = ("yes", "TRUE", "t", "Y", "1"), ("no", "False", "F", "n", "0")


@pytest.mark.parametrize("word, value", [*((word, True) for word in YES), *((word, False) for word in NO)])
def test_booleans(word, value):
    assert options("S", "--grad-clip", word).grad_clip is value
    assert options("S", config={"warmup_prefix": word}).warmup_prefix is value
    assert options("S", config=f"warmup_prefix: {word}").warmup_prefix is value


# ------------------------------------------------------------------------------------------------- YAML


def test_yaml_under_flags_over_defaults():
    parsed = options("C", "--num-epoch", "1", config={"num_epoch": 65, "batch_size": 64, "device": [0]})
    assert (parsed.num_epoch, parsed.batch_size, parsed.test_batch_size) == (1, 64, 256)
    assert parsed.explicit == {"config", "num_epoch", "batch_size", "device"}


def test_strings_of_yaml_get_the_type_of_the_flag():
    parsed = options("S", config="base_lr: 1e-3\nmin_lr: '1e-5'\nwarmup_lr: 1e-7\nnum_epoch: '500'\ndevice: 'cpu'\n")
    assert (parsed.base_lr, parsed.min_lr, parsed.warmup_lr, parsed.num_epoch) == (1e-3, 1e-5, 1e-7, 500)
    assert parsed.device == "cpu"
    assert options("C", config="precision: 32\nweight_decay: 0").settings()["precision"] == "32"


def test_dicts_merge_one_level_deep():
    config = {
        "train_feeder_args": {"p_interval": [0.5, 1], "window_size": 64, "data_path": "a.npz"},
        "model_args": {"graph_args": {"labeling_mode": "spatial"}},
    }
    parsed = options(
        "C", "--train-feeder-args", "{'p_interval':[0.95]}", "--train-feeder-args", "window_size=32",
        "--model-args", "graph_args=dict(x=1)", config=config,
    )  # fmt: skip
    assert parsed.train_feeder_args == {"p_interval": [0.95], "window_size": 32, "data_path": "a.npz"}
    assert parsed.model_args == {"graph_args": {"x": 1}}
    assert parsed.test_feeder_args == {}


def test_empty_yaml_and_missing_values():
    assert options("C", config="").explicit == {"config"}
    parsed = options("C", config="model_args:\nignore_weights:\nweights:\nstep: 30")
    assert (parsed.model_args, parsed.ignore_weights, parsed.weights, parsed.step) == ({}, [], None, [30])


def test_keys_of_other_programs_are_ignored_with_a_notice():
    parsed = options("C", config={"grad_clip": True, "model_fps": 30, "eval_start": 3, "batch_size": 8})
    assert parsed.grad_clip is False and parsed.batch_size == 8 and "grad_clip" not in parsed.explicit
    assert len(parsed.notices) == 1 and "ignores eval_start, grad_clip, model_fps" in parsed.notices[0]
    assert "--grad-max" in options("C", "--grad-max", "2").notices[0]


def test_flags_without_effect_say_so_once():
    assert options("C", "--log-interval", "1").notices == ["--log-interval: no effect in CTR-GCN"]
    assert options("C", "--log-interval", "100").notices == []
    assert options("T", "--log-interval", "1").notices == []


def test_a_window_beside_another_one_says_so():
    typed = ("--test-feeder-args", "data_path=x,window_size=8", "--test-window-size")
    assert "--test-window-size: no effect" in options("C", *typed, "4").notices[0]
    assert options("C", *typed, "8").notices == options("C", "--test-window-size", "4").notices == []


# ------------------------------------------------------------------------------------------------- presets


KAGGLE = {
    "work_dir": "w", "batch_size": 32, "test_batch_size": 32, "forward_batch_size": 16,
    "train_feeder_args": {"data_path": "a.npz", "split": "train", "window_size": -1, "random_choose": False},
    "test_feeder_args": {"data_path": "a.npz", "split": "test", "window_size": -1},
}  # fmt: skip


def test_memory_friendly():
    parsed = options("G", "--memory-friendly", config=KAGGLE)
    assert (parsed.batch_size, parsed.test_batch_size, parsed.forward_batch_size, parsed.num_worker) == (16, 16, 8, 4)
    assert parsed.train_feeder_args == {
        "data_path": "a.npz", "split": "train", "window_size": 64, "random_choose": True, "random_shift": True,
    }  # fmt: skip
    assert parsed.test_feeder_args == {"data_path": "a.npz", "split": "test", "window_size": 64}


def test_a_window_of_the_yaml_file_survives_the_preset():
    config = KAGGLE | {"train_feeder_args": {"window_size": 100}}
    assert options("G", "--memory-friendly", config=config).train_feeder_args["window_size"] == 100
    assert options("G", config=config | {"memory_friendly": True}).batch_size == 16
    assert options("G", "--memory-friendly", "False", config=config | {"memory_friendly": True}).batch_size == 32


def test_window_flags_beat_the_preset_and_give_way_to_explicit_arguments():
    parsed = options("G", "--memory-friendly", "--train-window-size", "48", "--test-window-size", "32", config=KAGGLE)
    assert parsed.train_feeder_args["window_size"] == 48 and parsed.test_feeder_args["window_size"] == 32
    parsed = options("G", "--train-window-size", "48", "--train-feeder-args", "window_size=20", config=KAGGLE)
    assert parsed.train_feeder_args["window_size"] == 20
    assert options("G", "--train-feeder-args", "a=1", "--train-window-size", "9").train_feeder_args["window_size"] == 9


def test_a_feeder_without_arguments_stays_without():
    parsed = options("T", "--test-window-size", "48", "--debug", config={"train_feeder_args": {"data_path": "x"}})
    assert parsed.test_feeder_args == {} and parsed.train_feeder_args == {"data_path": "x", "debug": True}


def test_preset_forward_batch_divides_an_explicit_batch():
    assert options("G", "--memory-friendly", "--batch-size", "12", config=KAGGLE).forward_batch_size == 4
    assert options("C", "--memory-friendly").forward_batch_size == 8


def test_debug_reaches_the_feeders():
    config = {"train_feeder_args": {"debug": True}, "test_feeder_args": {"window_size": 1}}
    assert options("C", config=config | {"debug": False}).train_feeder_args == {"debug": True}
    assert options("C", "--debug", config=config).test_feeder_args["debug"] is True
    assert options("C", "--debug", "False", config=config).train_feeder_args["debug"] is False
