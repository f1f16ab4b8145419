"""What ``study.yaml`` may say, which runs it comes to, and that every mistake is one line."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import studies

from skeleton_lab import registry
from skeleton_lab.engine.config.options import parse
from skeleton_lab.sweep import forecast, program, runs, state, study, table

STUDY = {"out": "out", "rooms": ["CTR-GCN"], "flags": {"num_epoch": 2}}


@pytest.fixture
def write(tmp_path, monkeypatch):
    return studies.writer(tmp_path, monkeypatch, STUDY)


WRONG = [
    ({"room": ["CTR-GCN"]}, "unknown key 'room'", "Did you mean 'rooms'?"),
    ({"out": None}, "out: is missing"),
    ({"rooms": []}, "rooms: is missing"),
    ({"rooms": ["CTR-GCM"]}, "rooms: there is no model 'CTR-GCM'", "Did you mean 'ctr"),
    ({"rooms": ["FS-VAE"]}, "FS-VAE trains on features"),
    ({"rooms": [{"room": "CTR-GCN", "config": "config/none.yaml"}]}, "there is no file config/none.yaml"),
    ({"rooms": [{"room": "CTR-GCN", "name": "../x"}]}, "'../x'", "part of a folder's name"),
    ({"rooms": [{"room": "CTR-GCN", "lr": 1}]}, "unknown key 'lr'", "room, name, config, flags"),
    ({"rooms": ["CTR-GCN", "ctrgcn"]}, "two runs are called CTR-GCN-joint-seed1"),
    ({"streams": ["bones"]}, "CTR-GCN has no stream 'bones'", "Did you mean 'bone'?"),
    ({"streams": []}, "streams: is an empty list"),
    ({"seeds": [1, 1]}, "seeds: 1 is given twice"),
    ({"seeds": ["one"]}, "seeds: 'one' is no whole number"),
    ({"seeds": [True]}, "seeds: True is no whole number"),
    ({"data": "none.npz"}, "data: there is no none.npz"),
    ({"flags": {"nun_epoch": 3}}, "there is no flag 'nun_epoch'", "Did you mean 'num_epoch'?"),
    ({"flags": {"num_epoch": "many"}}, "CTR-GCN-joint-seed1", "--num-epoch: 'many' is not a whole number"),
    ({"flags": {"seed": 3}}, "flags: seed: not here: give seeds:"),
    ({"flags": {"trust_code": True}}, "it is for the command line"),
    ({"flags": [1]}, "flags: [1] is not a mapping"),
    ({"grid": {"base_lr": 0.1}}, "grid: base_lr: 0.1 is not a list"),
    ({"grid": {"base_lr": [-1.0]}}, "must be at least 0"),
    ({"engine": "slurm"}, "engine: 'slurm'", "serial, pool, submitit"),
    ({"jobs": 2}, "jobs: has no effect with engine: serial"),
    ({"grid": {"model": ["x" * 250]}}, "the name of a run is too long"),
    ({"engine": "pool", "jobs": 0}, "jobs: 0 is no number of runs at once"),
    ({"slurm": {"timeout_min": 5}}, "slurm: has no effect with engine: serial"),
    ({"engine": "submitit", "slurm": {"timeout": 5}}, "unknown key 'timeout'", "timeout_min"),
    ({"engine": "submitit", "slurm": {"timeout_min": "1h"}}, "timeout_min: '1h' is not a whole number"),
    ({"engine": "submitit", "slurm": {"cluster": "moon"}}, "there are slurm and local"),
    ({"engine": "submitit", "slurm": {"mem_gb": float("nan")}}, "mem_gb: nan is too large"),
    ({"engine": "submitit", "slurm": {"setup": [5]}}, "setup: [5] is not a list of texts"),
    ({"data": ["a.npz", "b.npz", "./b.npz"]}, "two archives are called b"),
]


@pytest.mark.parametrize(("changes", "words"), [(first, words) for first, *words in WRONG], ids=lambda x: str(x)[:50])
def test_a_mistake_is_one_line_that_names_the_file(write, capsys, changes, words):
    path = write(**changes)
    assert program.main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: study.yaml: ")
    assert all(word in error for word in words), error
    assert not (path.parent / "out").exists()


def test_no_file_and_no_mapping(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "tag.yaml").write_text("out: !!python/object/apply:os.system [ls]\n")
    for name in ("none.yaml", "list.yaml", "tag.yaml"):
        assert program.main([name]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and error.startswith(f"error: {name}"), error


def test_the_product_of_all_lists(write):
    path = write(
        rooms=["CTR-GCN", {"room": "stgcn", "flags": {"batch_size": 8}}], streams=["joint", "bone"], seeds=[1, 2],
        data=["a.npz", "b.npz"], grid={"base_lr": [0.1, 1e-3], "nesterov": [True]},
    )  # fmt: skip
    found = runs.of(study.read(path))
    expected = itertools.product(("CTR-GCN", "ST-GCN"), ("a", "b"), ("0.1", "0.001"), ("joint", "bone"), (1, 2))
    assert [run.name for run in found] == [
        f"{room}-{stream}-{data}-base_lr{rate}-nesterovtrue-seed{seed}" for room, data, rate, stream, seed in expected
    ]
    assert len({run.group for run in found}) == 8  # whose two streams of a seed are fused
    last = found[-1].options
    assert (last.seed, last.batch_size, last.base_lr, last.nesterov, last.resume) == (2, 8, 1e-3, True, True)
    assert last.test_feeder_args["data_path"] == "b.npz" and last.test_feeder_args["split"] == "test"
    assert found[0].options.batch_size == 64  # the flag is the other room's
    assert found[0].command[:3] == ("train", "CTR-GCN", "--config")


def test_a_rooms_flags_win_key_by_key(write):
    room = {"room": "CTR-GCN", "flags": {"batch_size": 8, "model_args": {"adaptive": False}}}
    (run,) = runs.of(study.read(write(rooms=[room], flags={"batch_size": 4, "model_args": {"drop_out": 0.5}})))
    assert run.options.batch_size == 8
    assert run.options.model_args.items() >= {"adaptive": False, "drop_out": 0.5, "num_class": 60}.items()
    assert run.words.count("--batch-size") == 1


@pytest.mark.parametrize(
    "value",
    [
        {"bone": True},
        {"data_path": "a b/c.npz", "p": [0.5, 1]},
        {"word": "true"},
        {"nested": {"a": None}},
        {"x": "1e3"},
    ],
)
def test_mappings_are_typed_as_short_as_they_can_be_understood(value):
    flag, text = runs.spelled({"model_args": value})
    recipe = registry.find("ctrgcn").recipe
    told = parse(recipe, [flag, text, "--work-dir", "x"], registry.find("ctrgcn").path)
    assert told.model_args == value
    assert text == "bone=True" or value != {"bone": True}


PUBLISHED = [  # a stream that the authors published a configuration of
    ("Hyper-GCN", "bone-motion", "config/base/nturgbd-cross-subject/hyper_bone_motion.yaml"),
    ("SkateFormer", "bone", "config/train/ntu_cs/SkateFormer_b.yaml"),
    ("FreqMixFormer", "joint-motion", "config/nturgbd-cross-subject/motion.yaml"),
    ("PYSKL", "joint-motion", "config/stgcnpp/ntu60_xsub_3dkp/jm.yaml"),
    ("protogcn", "k-bone", "config/protogcn/ntu60_xsub/k.yaml"),
]


@pytest.mark.parametrize(("room", "stream", "config"), PUBLISHED)
def test_streams_are_those_of_the_published_configurations(write, room, stream, config):
    (run,) = runs.of(study.read(write(rooms=[room], streams=[stream])))
    this = run.entry.room
    told = parse(this.recipe, ["--config", str(this.path / config), "--num-epoch", "2", "--work-dir", "x"], this.path)
    for name in ("model", "model_args", "train_feeder_args", "test_feeder_args", "base_lr"):
        assert run.settings[name] == getattr(told, name), name


def test_streams_without_a_configuration_of_their_own(write):
    def of(room, stream, **more):
        (run,) = runs.of(study.read(write(rooms=[{"room": room, **more}], streams=[stream])))
        return run.options

    for room in ("CTR-GCN", "MS-G3D", "ST-GCN", "DeGCN"):
        for args in (of(room, "bone").train_feeder_args, of(room, "bone").test_feeder_args):
            assert args["bone"] is True and not args.get("vel"), room
    assert not of("MS-G3D", "joint").train_feeder_args.get("bone")
    assert of("DeGCN", "jbf").model == "model.jbf.Model"
    ucla = of("CTR-GCN", "bone-motion", config="config/ucla/default.yaml")
    assert ucla.train_feeder_args["data_path"] == ucla.test_feeder_args["data_path"] == "bone_motion"


def test_every_room_has_the_streams_that_its_ensemble_weighs():
    """By the same words; but for those of one room that are weights for other networks on the same clips."""
    for room in registry.ROOMS:
        if room.program is not None:
            known = registry.load(room.folder, "ensemble.RECIPE")
            others = {stream for stream in known.streams if stream.endswith(("-k2", "-second"))}
            assert set(known.streams) - others <= set(room.recipe.streams), room.folder


def test_a_pickle_keeps_the_splits_of_its_configuration(write, tmp_path):
    (tmp_path / "ntu60_3danno.pkl").write_bytes(b"")
    (run,) = runs.of(study.read(write(rooms=["PYSKL"], data="ntu60_3danno.pkl")))
    assert run.options.train_feeder_args["split"] == "xsub_train"
    assert run.options.train_feeder_args["data_path"] == "ntu60_3danno.pkl"


def test_a_dry_run_prints_commands_that_the_room_takes(write, capsys, monkeypatch):
    monkeypatch.setattr(forecast, "_planned", lambda found: [(forecast.kind(r), (1800.0, "told")) for r in found])
    path = write(streams=["joint", "bone"], seeds=[1, 2], flags={"num_epoch": 3, "model_args": {"adaptive": False}})
    found = runs.of(study.read(path))
    state.note(state.note_file(study.read(path), found[0]), found[0].settings, 0)
    found[0].folder.mkdir(parents=True)
    (found[0].folder / state.METRICS).touch()
    assert program.main([str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "# finished: CTR-GCN-joint-seed1"
    assert [line.startswith("skeleton-lab train CTR-GCN --config ") for line in out[1:4]] == [True] * 3
    assert "--model-args adaptive=False" in out[1]
    assert out[4] == "# forecast: 4.50 h of training for 3 runs (told)"  # 3 epochs of half an hour each
    assert [each.name for each in (path.parent / "out" / "runs").iterdir()] == [found[0].name]


def test_the_plan_is_asked_for_the_studys_own_batch_and_frames(write, monkeypatch):
    """Once for each configuration; a run has as many epochs as are left of it."""
    from skeleton_lab.plan import data, machine, planning

    path = write(flags={"num_epoch": 4, "batch_size": 8, "train_window_size": 16, "device": "cpu"}, seeds=[1, 2])
    found, asked = runs.of(study.read(path)), []
    card = machine.find("RTX 4060", "auto", None)
    monkeypatch.setattr(machine, "find", lambda *_: card)
    monkeypatch.setattr(forecast, "_calibrated", lambda where: where)
    monkeypatch.setattr(data, "published", lambda: data.Data("x", 80, 0.0, 0))

    def row(room, config, where, trained_on, batch, frames):
        asked.append((room.folder, where, trained_on.clips, batch, frames))
        return SimpleNamespace(epoch=30.0)

    monkeypatch.setattr(planning, "row", row)
    made = forecast.of(found, [state.State(state.WAITING), state.State(state.INTERRUPTED, 1)])
    assert asked == [("CTR-GCN", card, 80, 8, 16)]
    assert [(each.seconds, each.source) for each in made] == [(120.0, forecast.PLANNED), (90.0, forecast.PLANNED)]
    own = forecast.of(found, [state.State(state.INTERRUPTED, 2, 10.0), state.State(state.WAITING)])
    assert [each.seconds for each in own] == [10.0, 20.0]  # 5 s an epoch: two and four are left


def test_a_row_of_the_plan_counts_the_batch_and_frames_that_it_is_asked_for(monkeypatch):
    from skeleton_lab.plan import planning

    def prepared(_, wishes):
        raise ValueError(f"{wishes.batch} clips of {wishes.frames} frames")

    monkeypatch.setattr(planning.program, "prepared", prepared)
    with pytest.raises(ValueError, match="8 clips of 16 frames"):
        planning.row(registry.find("ctrgcn"), "x", None, None, 8, 16)


def test_as_many_runs_on_a_gpu_as_their_largest_need_allows():
    assert forecast.most(79, [4.8, 11.0]) == 7
    assert forecast.most(6, [4.8, 11.0]) == 1


def test_columns_of_a_table_begin_below_each_other():
    assert table.aligned([("a", "bc", ""), ("def", "g", "why")]) == ["a   bc", "def g  why"]
