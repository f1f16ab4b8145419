"""People, joints and classes that fit or are refused in one line; windows that cut; flags that do what they say."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import yaml
from sandbox import FEW, shrink

from skeleton_lab import registry
from skeleton_lab.data.feeders.base import ctvm
from skeleton_lab.engine.build import make_net
from skeleton_lab.engine.config.flags import FLAGS
from skeleton_lab.engine.config.options import parse
from skeleton_lab.engine.config.unused_flags import RULES
from skeleton_lab.engine.dataloader import make_feeder

SUPERVISED = [room for room in registry.ROOMS if room.program]
PEOPLE = {"S": "num_people"}


def begin(room: registry.Room, config: str | None = None, small: bool = True) -> str:
    """Sub-command, configuration and small batches, with ``small`` of short clips."""
    given = yaml.safe_load((room.path / (config or room.config)).read_text())
    verb = "recognition" if room.program == "T" else ""
    pieces = "--forward-batch-size 3" if room.program in ("G", "P") else ""
    if room.program == "P":  # whose configurations are of another archive
        data = (f"--{split}-feeder-args data_path=./data/ntu/NTU60_CS.npz,split={split}" for split in ("train", "test"))
        pieces = " ".join((pieces, *data))
    return f"{verb} --config {config or room.config} {FEW} {pieces} {shrink(given) if small else ''}"


@pytest.mark.slow
@pytest.mark.parametrize("room", SUPERVISED, ids=lambda room: room.folder)
def test_one_person(room, lab, tmp_path):
    """The archive has two; ST-GCN's network takes any number, so its feeder is told."""
    name = PEOPLE.get(room.program, "num_person")
    flags = f"--model-args {name}=1" if room.program != "T" else ""
    if room.program == "T":
        flags = " ".join(f"--{split}-feeder-args num_person=1" for split in ("train", "test"))
    work = tmp_path / "work"
    assert lab(room.folder, f"{begin(room)} {flags} --work-dir {work}") == 0
    said = (work / "log.txt").read_text()
    assert said.count("2 people and the network takes 1: the first are kept") == (room.program != "T")
    assert "Clips (coordinates, frames, joints, people): (3, " in said and ", 1) in the training" in said


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("room", [room for room in SUPERVISED if room.program != "T"], ids=lambda room: room.folder)
def test_feeders_hand_over_as_many_people_as_the_network_takes(room, count, lab):
    name = PEOPLE.get(room.program, "num_person")
    lab.enter(room.folder)
    options = parsed(room, f"{begin(room)} --model-args {name}={count}")
    with registry.room(room.folder):
        few, two = make_feeder(options, options.test_feeder_args), None
        options.model_args[name] = 2
        two = make_feeder(options, options.test_feeder_args)
    x, y = ctvm(few[1][0], few.axes), ctvm(two[1][0], two.axes)
    assert x.shape[:3] == y.shape[:3] and x.shape[3] == count
    np.testing.assert_array_equal(x[..., :2], y[..., :count])
    assert not x[..., 2:].any()


def parsed(room: registry.Room, line: str):
    """The options of a run, with a seed."""
    return parse(room.recipe, shlex.split(f"{line} --seed 1 --work-dir w"), room.path)


SIZES = {"C": ("num_person", "num_point", "num_class"), "G": ("num_person", "num_point", "num_class"),
         "F": ("num_person", "num_point", "num_class"), "S": ("num_people", "num_points", "num_classes"),
         "H": ("num_person", "num_point", "num_class"), "T": ("num_class",),
         "P": ("num_person", "num_classes"), "D": ("num_person", "num_point", "num_class")}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("value", ["0", "-3", "1000000000", "1e9", "2.5", "two"])
@pytest.mark.parametrize("room", SUPERVISED, ids=lambda room: room.folder)
def test_sizes_that_are_none(room, value, lab, capsys):
    for name in SIZES[room.program]:
        code = lab(room.folder, f"{begin(room)} --work-dir w --model-args {name}={value} --phase model_size")
        err = capsys.readouterr().err
        assert code == 2 and err.count("\n") == 1 and name in err and "Traceback" not in err, err


@pytest.mark.parametrize("room", SUPERVISED, ids=lambda room: room.folder)
def test_joints_that_do_not_fit_the_archive(room, lab, capsys, tmp_path):
    flags = f"--model-args {'num_points' if room.program == 'S' else 'num_point'}=20"
    if room.program == "T":
        flags = "--model-args \"{'graph_args':{'layout':'openpose','strategy':'spatial'}}\""
    elif room.program == "P":
        flags = "--model-args \"{'graph_cfg':{'layout':'openpose','mode':'spatial'}}\""
    assert lab(room.folder, f"{begin(room)} {flags} --work-dir {tmp_path}") == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(err) == 1 and ("joints" in err[0] or "num_points 20" in err[0]), err


WHOLE = [
    ("MS-G3D", "config/nturgbd-cross-subject/train_joint_kaggle.yaml"),
    ("MS-G3D", "config/nturgbd-cross-subject/train_joint.yaml"),
    ("ST-GCN", "config/st_gcn/ntu-xsub/train.yaml"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), WHOLE[1:])
def test_the_window_flags_cut(name, config, lab, tmp_path):
    """They left clips of MS-G3D and ST-GCN as long as they were."""
    work, room = tmp_path / "work", registry.find(name)
    assert lab(name, f"{begin(room, config)} --work-dir {work} --train-window-size 8 --test-window-size 6") == 0
    said = (work / "log.txt").read_text()
    assert "(3, 8, 25, 2) in the training, (3, 6, 25, 2) in the test" in said


@pytest.mark.parametrize(("name", "config"), WHOLE)
def test_windows_lie_in_what_is_recorded(name, config, lab):
    room = registry.find(name)
    lab.enter(name)
    options = parsed(room, f"{begin(room, config)} --train-window-size 4 --test-window-size 4")
    still = {"random_move": False} | ({"random_shift": False} if name == "MS-G3D" else {})
    with registry.room(name):
        train = make_feeder(options, {**options.train_feeder_args, **still})
        test = make_feeder(options, options.test_feeder_args)
        whole = make_feeder(options, {**options.train_feeder_args, **still, "crop": None})
    starts = set()
    for epoch in range(6):
        train.epoch = epoch
        for i in range(len(train)):
            x, y = train[i][0], whole[i][0]
            at = [t for t in range(y.shape[1] - 3) if np.array_equal(y[:, t : t + 4], x)]
            assert at and (x.any() or not y.any())
            starts.add(at[0])
    assert len(starts) > 3 and test[0][0].shape[1] == 4


@pytest.mark.parametrize("room", SUPERVISED, ids=lambda room: room.folder)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_rooms_window_flag_has_an_effect(room, split, lab):
    lab.enter(room.folder)
    options = parsed(room, f"{begin(room, small=False)} --{split}-window-size 12")
    with registry.room(room.folder):
        feeder = make_feeder(options, getattr(options, f"{split}_feeder_args"))
    assert feeder[0][0].shape[1] == 12


@pytest.mark.parametrize(("program", "test"), [("G", None), ("T", "middle")])
def test_a_window_among_typed_feeder_arguments_cuts_too(program, test, tmp_path):
    """One of the configuration alone does not: so it was published."""
    written = {f"{split}_feeder_args": {"data_path": "x", "window_size": 150} for split in ("train", "test")}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(written))
    verb = ["recognition"] if program == "T" else []
    argv = [*verb, "--config", str(tmp_path / "c.yaml"), "--work-dir", "w"]
    plain = parse(registry.find(program).recipe, argv, tmp_path)
    assert "crop" not in plain.train_feeder_args and "crop" not in plain.test_feeder_args
    typed = [word for split in ("train", "test") for word in (f"--{split}-feeder-args", "window_size=64")]
    cut = parse(registry.find(program).recipe, [*argv, *typed], tmp_path)
    assert cut.train_feeder_args["crop"] == "random" and cut.test_feeder_args.get("crop") == test


def test_every_flag_is_read_or_said_to_have_no_effect():
    """A flag that no part of the engine and no recipe looks at is one that changes nothing."""
    folder = registry.ROOT / "skeleton_lab" / "engine"
    readers = [path for path in folder.rglob("*.py") if path.name not in ("flags.py", "unused_flags.py")]
    text = "".join(path.read_text() for path in [*readers, *(room.path / "recipe.py" for room in SUPERVISED)])
    special = {"config", "train_window_size", "test_window_size", "lr_scheduler"}  # read by name, or of one value
    recipes = [room.recipe for room in SUPERVISED]
    for name, flag in FLAGS.items():
        silent = [recipe.name for recipe in recipes if recipe.honours(flag) and not recipe.unused(flag)]
        assert not silent or f"options.{name}" in text or name in special, (name, silent)


POINTLESS = {
    "nesterov": "--optimizer AdamW", "step": "--optimizer AdamW", "grad_max": "--grad-clip False",
    "warmup_lr": "--warm-up-epoch 0", "warmup_prefix": "--warm-up-epoch 0", "val_share": "", "amp_opt_level": "",
    "optimizer": "TEST", "base_lr": "TEST", "num_epoch": "TEST", "resume": "TEST", "train_window_size": "TEST",
    "save_score": "", "memory": "--phase model_size", "test_window_size": "--test-feeder-args window_size=8",
    "shots": "TEST", "freeze": "TEST", "scale_lr": "TEST", "ema": "TEST", "early_stopping": "TEST",
    "save_best": "TEST", "track": "TEST",
}  # fmt: skip
VALUES = {
    "val_share": "0.2", "optimizer": "SGD", "nesterov": "True", "resume": "True", "warmup_prefix": "True",
    "save_score": "False", "freeze": "backbone", "scale_lr": "linear", "ema": "0.9", "save_best": "True",
    "track": "mlflow",
}  # fmt: skip


@pytest.mark.parametrize("name", [*(rule[0] for rule in RULES), "step", "save_score"])
def test_flags_beside_others_that_switch_them_off_are_told(name):
    program = {"step": "T", "grad_max": "S", "warmup_lr": "S", "warmup_prefix": "S", "save_score": "S"}.get(name, "C")
    verb = "recognition " if program == "T" else ""
    beside = POINTLESS[name].replace("TEST", "--phase test --weights w.pt")
    line = f"{verb}--work-dir w {FLAGS[name].option} {VALUES.get(name, 1)} {beside}"
    notices = parse(registry.find(program).recipe, shlex.split(line), registry.find(program).path).notices
    assert [note for note in notices if note.startswith(f"{FLAGS[name].option}: no effect, ")], notices


def test_the_default_of_a_network_counts_for_people(lab):
    room = registry.find("CTR-GCN")
    lab.enter(room.folder)
    options = parsed(room, begin(room))
    del options.model_args["num_person"]
    options.test_feeder_args["num_person"] = 1
    with registry.room(room.folder):
        assert make_net(options).data_bn.num_features == 2 * 3 * 25
        assert make_feeder(options, options.test_feeder_args)[0][0].shape[3] == 2
