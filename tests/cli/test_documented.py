"""The training and test commands of the users' documents, word by word, shrunk by flags behind them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from sandbox import FEW, shrink

from skeleton_lab import registry
from skeleton_lab.engine.config.options import parse

pytestmark = pytest.mark.slow


class Command(NamedTuple):
    name: str
    room: str
    line: str  # behind "python3 main.py"
    short: str = ""  # flags that shrink it further; empty: those of ``sandbox.shrink``
    writes: str = "runs-1-2.pt"  # in the work dir


WINDOW = "--train-feeder-args window_size=16 --test-feeder-args window_size=16"
SKATE_CLI = (
    "--phase train --work-dir /workspace/work_dir/skateformer_full_cli --feeder feeders.feeder_ntu.Feeder "
    "--train-feeder-args \"{'data_path':'./data/ntu/NTU60_CS.npz','split':'train','window_size':32,"
    "'p_interval':[0.5,0.75],'thres':32,'uniform':True,'partition':True}\" --test-feeder-args "
    "\"{'data_path':'./data/ntu/NTU60_CS.npz','split':'test','window_size':32,'p_interval':[0.95],'thres':32,"
    "'uniform':True,'partition':True}\" --model model.SkateFormer.SkateFormer_ --model-args \"{'num_classes':60,"
    "'num_people':2,'num_points':24,'kernel_size':7,'num_heads':8,'drop_path':0.05,'type_1_size':[4,6],"
    "'type_2_size':[4,8],'type_3_size':[4,6],'type_4_size':[4,8],'mlp_ratio':4.0,'index_t':True}\" --batch-size 8 "
    "--test-batch-size 8 --num-worker 0 --num-epoch 500 --optimizer AdamW --base-lr 1e-3 --loss-type LSCE"
)
KAGGLE = "{'data_path':'/workspace/data/NTU60/kaggle_raw/NTU60_CS.npz'}"
MSG3D = "--config config/nturgbd-cross-subject/train_joint_kaggle.yaml --work-dir /workspace/work_dir/"
ST = "recognition -c config/st_gcn/ntu-xsub/train.yaml"

COMMANDS = [
    Command("ctr-train", "CTR-GCN", "--config ./config/nturgbd-cross-subject/default.yaml "
            "--work-dir ../work_dir/ctrgcn_ntu60_xsub_joint"),
    Command("ctr-smoke", "CTR-GCN", "--config ./config/nturgbd-cross-subject/default.yaml "
            "--work-dir ../work_dir/ctrgcn_ntu60_xsub_joint_smoke "
            "--num-epoch 1 --batch-size 8 --test-batch-size 8 --num-worker 0"),
    Command("ms-train-kaggle", "MS-G3D", MSG3D + "ntu60_xsub_msg3d_joint_kaggle --device 0 --num-worker 4",
            "--forward-batch-size 3", "weights/weights-1-2.pt"),
    Command("ms-smoke", "MS-G3D", MSG3D + "ntu60_xsub_msg3d_joint_smoke --device 0 --num-epoch 1 --batch-size 8 "
            "--forward-batch-size 4 --train-window-size 64 --test-window-size 64 --num-worker 0 --memory-friendly "
            "--eval-interval 1 --save-interval 1",
            "--forward-batch-size 2 --train-window-size 16 --test-window-size 16", "weights/weights-1-2.pt"),
    Command("ms-smoke-small", "MS-G3D", MSG3D + "ntu60_xsub_msg3d_joint_smoke --device 0 --num-epoch 1 --batch-size 4 "
            "--forward-batch-size 2 --train-window-size 48 --test-window-size 64 --num-worker 0 --memory-friendly "
            "--eval-interval 1 --save-interval 1", "--train-window-size 16 --test-window-size 20",
            "weights/weights-1-2.pt"),
    Command("ms-memory-friendly", "MS-G3D", MSG3D + "ntu60_xsub_msg3d_joint_mf --device 0 --memory-friendly",
            "--forward-batch-size 6 --train-window-size 16 --test-window-size 16", "weights/weights-1-2.pt"),
    Command("ms-train-joint-002", "MS-G3D", "--config config/nturgbd-cross-subject/train_joint.yaml "
            "--work-dir /workspace/work_dir/ntu60_xsub_msg3d_joint --device 0 --half", "--forward-batch-size 6",
            "weights/weights-1-2.pt"),
    Command("fm-train-joint", "FreqMixFormer", "--config config/nturgbd-cross-subject/joint.yaml "
            "--work-dir /workspace/work_dir/freqmixformer_ntu60_xsub_joint --device 0", WINDOW),
    Command("fm-train-motion", "FreqMixFormer", "--config config/nturgbd-cross-subject/motion.yaml "
            "--work-dir /workspace/work_dir/freqmixformer_ntu60_xsub_motion --device 0", WINDOW),
    Command("fm-train-kaggle-path", "FreqMixFormer", "--config config/nturgbd-cross-subject/joint.yaml --work-dir "
            "/workspace/work_dir/freqmixformer_ntu60_xsub_joint_kaggle --device 0 "
            f'--train-feeder-args "{KAGGLE}" --test-feeder-args "{KAGGLE}"', WINDOW),
    Command("fm-joint-lowmem", "FreqMixFormer", "--config config/nturgbd-cross-subject/joint_lowmem.yaml "
            "--work-dir /workspace/work_dir/freqmixformer_ntu60_xsub_joint_lowmem --device 0"),
    Command("fm-motion-lowmem", "FreqMixFormer", "--config config/nturgbd-cross-subject/motion_lowmem.yaml "
            "--work-dir /workspace/work_dir/freqmixformer_ntu60_xsub_motion_lowmem --device 0"),
    Command("sk-train-j", "SkateFormer", "--config ./config/train/ntu_cs/SkateFormer_j.yaml "
            "--work-dir /workspace/work_dir/skateformer_ntu60_xsub_joint --device 0"),
    Command("sk-train-b", "SkateFormer", "--config ./config/train/ntu_cs/SkateFormer_b.yaml "
            "--work-dir /workspace/work_dir/skateformer_ntu60_xsub_bone --device 0"),
    Command("sk-train-lowmem", "SkateFormer", "--config ./config/train/ntu_cs/SkateFormer_j_lowmem.yaml "
            "--work-dir /workspace/work_dir/skateformer_ntu60_xsub_joint_lowmem --device 0"),
    Command("sk-train-tiny", "SkateFormer", "--config ./config/train/ntu_cs/SkateFormer_j_tiny.yaml "
            "--work-dir /workspace/work_dir/skateformer_ntu60_xsub_joint_tiny --device 0"),
    Command("sk-cli-override", "SkateFormer", "--config ./config/train/ntu_cs/SkateFormer_j.yaml --work-dir "
            "/workspace/work_dir/skateformer_custom --batch-size 8 --test-batch-size 8 --num-worker 0 "
            "--train-feeder-args \"{'window_size':32,'thres':32}\" "
            "--test-feeder-args \"{'window_size':32,'thres':32}\" "
            "--model-args \"{'num_heads':8,'drop_path':0.05,'type_1_size':[4,6],'type_2_size':[4,8],"
            "'type_3_size':[4,6],'type_4_size':[4,8]}\"", "--seed 1"),
    Command("sk-cli-only", "SkateFormer", SKATE_CLI, "--seed 1"),
    Command("sk-mix", "SkateFormer", "--config ./config/train/ntu_cs/SkateFormer_j.yaml --work-dir "
            "/workspace/work_dir/skateformer_custom --batch-size 4 "
            "--train-feeder-args \"{'window_size':24,'thres':24}\"", "--test-feeder-args window_size=32"),
    Command("hy-train-joint", "Hyper-GCN", "--config config/base/nturgbd-cross-subject/hyper_joint.yaml "
            "--work-dir /workspace/work_dir/hypergcn_ntu60_xsub_joint --device 0"),
    Command("hy-train-bone", "Hyper-GCN", "--config config/base/nturgbd-cross-subject/hyper_bone.yaml "
            "--work-dir /workspace/work_dir/hypergcn_ntu60_xsub_bone --device 0 --num-worker 0"),
    Command("hy-train-jm", "Hyper-GCN", "--config config/base/nturgbd-cross-subject/hyper_joint_motion.yaml "
            "--work-dir /workspace/work_dir/hypergcn_ntu60_xsub_joint_motion --device 0"),
    Command("hy-smoke", "Hyper-GCN", "--config config/kaggle/nturgbd-cross-subject/hyper_joint_smoke.yaml "
            "--work-dir /workspace/work_dir/hypergcn_ntu60_xsub_joint_smoke --device 0"),
    Command("st-train", "ST-GCN", ST, writes="epoch1_model.pt"),
    Command("st-train-args", "ST-GCN", f"{ST} --work_dir ./work_dir/my_experiment --device 0 1 2 3 --batch_size 32 "
            "--num_epoch 100 --base_lr 0.05", writes="epoch1_model.pt"),
    Command("st-train-multi", "ST-GCN", f"{ST} --device 0 1 2 3", writes="epoch1_model.pt"),
    Command("st-train-workers", "ST-GCN", f"{ST} --num_worker 8 --save_interval 10 --eval_interval 5",
            writes="epoch1_model.pt"),
    Command("st-xview", "ST-GCN", "recognition -c config/st_gcn/ntu-xview/train.yaml", writes="epoch1_model.pt"),
    Command("st-kinetics", "ST-GCN", "recognition -c config/st_gcn/kinetics-skeleton/train.yaml",
            writes="epoch1_model.pt"),
    Command("st-twostream", "ST-GCN", "recognition -c config/st_gcn.twostream/ntu-xsub/train.yaml",
            writes="epoch1_model.pt"),
]  # fmt: skip


def small(command: Command) -> str:
    words = shlex.split(command.line)
    path = next((words[i + 1] for i, word in enumerate(words) if word in ("--config", "-c")), None)
    config = yaml.safe_load((registry.find(command.room).path / path).read_text()) if path else {}
    return f"{FEW} {command.short or shrink(config)}"


PLAIN = {"--config", "-c", "--work-dir", "--device", "--num-worker"}  # such a line is its configuration


def is_plain(command: Command) -> bool:
    return {word for word in shlex.split(command.line) if word.startswith("-")} <= PLAIN


FIRST = {command.room: command for command in reversed(COMMANDS) if is_plain(command)}
TRAINED = [command for command in COMMANDS if not is_plain(command) or command == FIRST[command.room]]


@pytest.mark.parametrize("command", TRAINED, ids=lambda command: command.name)
def test_training(command, lab, tmp_path):
    assert lab(command.room, f"{command.line} {small(command)} --work-dir {tmp_path}") == 0
    assert (tmp_path / command.writes).stat().st_size > 0
    for name in ("config.yaml", "log.txt", "metrics.jsonl"):
        assert (tmp_path / name).stat().st_size > 0, name


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if each not in TRAINED], ids=lambda command: command.name
)
def test_a_line_that_differs_in_its_configuration_alone_is_understood(command, lab):
    """Configurations are trained in ``tests/models/test_configs.py``."""
    room = lab.enter(command.room)
    path = next(word for word in shlex.split(command.line) if word.endswith(".yaml"))
    parsed = parse(room.recipe, shlex.split(command.line), room.path)
    assert parsed.model == yaml.safe_load((room.path / path).read_text())["model"]


def test_skateformer_is_tested_with_what_it_trained(lab, tmp_path, capsys):
    """sk-tiny-smoke, then sk-quick-eval with its weights, then sk-test-tiny and sk-test-lowmem without their file."""
    line = "--config ./config/train/ntu_cs/SkateFormer_j_tiny.yaml --work-dir {} --num-epoch 5 --device 0"
    assert lab("SkateFormer", f"{line.format(tmp_path / 'tiny')} --num-worker 0 --device cpu --report False") == 0
    written = sorted(path.name for path in (tmp_path / "tiny").glob("runs-*.pt"))
    assert written == ["runs-5-5.pt"]  # 12 clips, batches of 8, the incomplete one dropped
    weights = tmp_path / "tiny" / "runs-5-5.pt"
    line = "--phase test --config ./config/test/ntu_cs/SkateFormer_j_tiny.yaml --device 0 --test-batch-size 8"
    assert lab("SkateFormer", f"{line} --weights {weights} --num-worker 0 --work-dir {tmp_path / 'test'}") == 0
    for name in ("runs-5-5_wrong.txt", "runs-5-5_right.txt"):
        assert (tmp_path / "tiny" / name).exists()
    for preset in ("tiny", "lowmem"):
        capsys.readouterr()
        line = f"--config ./config/test/ntu_cs/SkateFormer_j_{preset}.yaml --device 0 --work-dir {tmp_path / 'test'}"
        assert lab("SkateFormer", line) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert "pretrained/ntu60_CSub/SkateFormer_j.pt" in error and "--weights" in error
    official = lab.weights("SkateFormer", "config/train/ntu_cs/SkateFormer_j.yaml", tmp_path / "official.pt")
    assert lab("SkateFormer", f"{line} --weights {official} --num-worker 0") == 2
    assert "gconv" in capsys.readouterr().err.strip().splitlines()[-1]  # 32 heads do not fit the preset's 16


@pytest.mark.parametrize("window", [48, 32])
def test_skateformer_with_an_edited_configuration(lab, tmp_path, window):
    """sk-train-j-edited: the guide changes batch, window, heads and workers in the file, and leaves the partitions."""
    lab.enter("SkateFormer")
    config = yaml.safe_load(Path("config/train/ntu_cs/SkateFormer_j.yaml").read_text())
    config["train_feeder_args"]["window_size"] = config["test_feeder_args"]["window_size"] = window
    config["model_args"]["num_heads"] = 16
    path = tmp_path / "SkateFormer_j.yaml"
    path.write_text(yaml.safe_dump(config | {"batch_size": 6, "test_batch_size": 8, "num_worker": 0}))
    line = f"--config {path} --work-dir {tmp_path / 'w'} --device 0 --num-epoch 1 --report False"
    assert lab("SkateFormer", line) == 0
    assert (tmp_path / "w" / "runs-1-2.pt").exists()


def test_stgcn_goes_on_and_is_tested(lab, tmp_path, capsys):
    """st-resume, st-test and st-pretrained with weights of the class and names that they need."""
    config = "config/st_gcn/ntu-xsub/train.yaml"
    work = Path("work_dir/recognition/ntu-xsub/ST_GCN")
    lab.enter("ST-GCN")
    lab.weights("ST-GCN", config, Path.cwd() / work / "epoch50_model.pt")
    lab.weights("ST-GCN", config, Path.cwd() / "models" / "st_gcn.ntu-xsub.pt")
    few = "--batch_size 6 --num_worker 0 --use_gpu False --report False"
    line = f"{ST} --weights ./{work}/epoch50_model.pt --start_epoch 50 --num_epoch 51 {few} --work_dir {tmp_path / 'r'}"
    assert lab("ST-GCN", line) == 0
    log = (tmp_path / "r" / "log.txt").read_text()
    assert "Training epoch: 50" in log and (tmp_path / "r" / "epoch51_model.pt").exists()
    line = f"recognition -c config/st_gcn/ntu-xsub/test.yaml --weights ./{work}/epoch50_model.pt {few}"
    assert lab("ST-GCN", f"{line} --test_batch_size 8 --work_dir {tmp_path / 't'}") == 0
    assert "Top5: " in (tmp_path / "t" / "log.txt").read_text()
    line = f"{ST} --weights ./models/st_gcn.ntu-xsub.pt --num_epoch 1 {few} --work_dir {tmp_path / 'p'}"
    assert lab("ST-GCN", line) == 0


CUSTOM = {
    "work_dir": "./work_dir/recognition/custom_dataset",
    "feeder": "feeder.feeder.Feeder",
    "train_feeder_args": {"data_path": "./train_data.npy", "label_path": "./train_label.pkl", "window_size": 150},
    "model": "net.st_gcn.Model",
    "model_args": {"in_channels": 3, "num_class": 10, "edge_importance_weighting": True,
                   "graph_args": {"layout": "openpose", "strategy": "spatial"}},
    "device": [0], "batch_size": 32, "test_batch_size": 32, "num_epoch": 50, "base_lr": 0.01, "step": [20, 30],
}  # fmt: skip


def test_stgcn_with_own_data(lab, tmp_path, capsys):
    """st-custom-data and st-custom-train: a YAML without test data, labels that the YAML has no classes for."""
    lab.enter("ST-GCN")
    make = (
        "import numpy as np, pickle; np.save('train_data.npy', np.random.rand({n}, 3, 20, 18, 2)); pickle.dump("
        "([f'sample_{{i}}' for i in range({n})], [i % {k} for i in range({n})]), open('train_label.pkl', 'wb'))"
    )
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(CUSTOM))
    line = f"recognition -c {config} --num_epoch 1 --batch_size 6 --num_worker 0 --use_gpu False --report False"
    line += f" --train_feeder_args window_size=16 --work_dir {tmp_path / 'w'}"
    subprocess.run([sys.executable, "-c", make.format(n=12, k=10)], check=True)
    assert lab("ST-GCN", line) == 0
    log = (tmp_path / "w" / "log.txt").read_text()
    assert "Training epoch: 0" in log and "Eval" not in log
    assert (tmp_path / "w" / "epoch1_model.pt").exists()
    subprocess.run([sys.executable, "-c", make.format(n=12, k=12)], check=True)
    assert lab("ST-GCN", line) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "label" in error and "10" in error


def test_stgcn_without_gpu(lab, tmp_path):
    """st-bold-train and st-bold-test: device [-1] in the YAML, --use_gpu False, the phase from the command line."""
    lab.enter("ST-GCN")
    data = {"data_path": "./data/kinetics/train_data.npy", "label_path": "./data/kinetics/train_label.pkl"}
    config = tmp_path / "train_categorical.yaml"
    bold = {**CUSTOM, "device": [-1], "train_feeder_args": data, "test_feeder_args": data}
    bold["model_args"] = {**CUSTOM["model_args"], "num_class": 26}
    config.write_text(yaml.safe_dump(bold))
    line = f"recognition -c {config} --use_gpu False --work_dir {tmp_path / 'w'} --report False --num_worker 0"
    assert lab("ST-GCN", f"{line} --num_epoch 1 --batch_size 6") == 0
    assert lab("ST-GCN", f"{line} --phase test --weights {tmp_path / 'w' / 'epoch1_model.pt'}") == 0
