"""Every command line that the user guides show for the supervised programs, and what it must amount to.

The YAML files of rooms other than CTR-GCN are written here with the keys that the command is about.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml
from options_helpers import recipe
from places import ROOT

from skeleton_lab.engine.config.options import parse

CTRGCN = ROOT / "CTR-GCN"

_NPZ = {"data_path": "./data/ntu/NTU60_CS.npz"}
_KAGGLE = {
    "batch_size": 32, "test_batch_size": 32, "forward_batch_size": 16, "num_epoch": 50, "device": [0],
    "base_lr": 0.05, "step": [30, 40],
    "train_feeder_args": {**_NPZ, "split": "train", "window_size": -1},
    "test_feeder_args": {**_NPZ, "split": "test", "window_size": -1},
}  # fmt: skip
_FREQ = {
    "batch_size": 128, "num_epoch": 100, "device": [6],
    "train_feeder_args": {"data_path": "/workspace/data/NTU60/ctrgcn/NTU60_CS.npz", "window_size": 64},
    "test_feeder_args": {"data_path": "/workspace/data/NTU60/ctrgcn/NTU60_CS.npz", "window_size": 64},
}  # fmt: skip
_SKATE = """
phase: train
base_lr: 1e-3
min_lr: 1e-5
warmup_lr: 1e-7
optimizer: AdamW
grad_clip: True
loss_type: LSCE
num_epoch: 500
batch_size: 128
num_worker: 4
device: [0]
train_feeder_args: {data_path: ./data/ntu/NTU60_CS.npz, window_size: 64, thres: 64, p_interval: [0.5, 1]}
test_feeder_args: {data_path: ./data/ntu/NTU60_CS.npz, window_size: 64, thres: 64}
model_args: {num_classes: 60, num_heads: 32, type_1_size: [8, 8], index_t: true}
"""
_SKATE_TEST = {"phase": "test", "weights": "./pretrained/ntu60_CSub/SkateFormer_j.pt", "work_dir": "./work_dir/tiny"}
_HYPER = {"save_epoch": 110, "num_epoch": 140, "device": [0]}
_STGCN = {
    "work_dir": "./work_dir/recognition/ntu-xsub/ST_GCN", "device": [0, 1, 2, 3], "batch_size": 64, "step": [10, 50],
    "num_epoch": 80, "base_lr": 0.1, "train_feeder_args": {"data_path": "x.npy"},
}  # fmt: skip
FILES = {
    "config/nturgbd-cross-subject/train_joint_kaggle.yaml": _KAGGLE,
    "config/nturgbd-cross-subject/train_joint.yaml": _KAGGLE,
    "config/nturgbd-cross-subject/joint.yaml": _FREQ,
    "config/nturgbd-cross-subject/motion.yaml": _FREQ | {"device": [0, 1]},
    "config/nturgbd-cross-subject/joint_lowmem.yaml": _FREQ | {"batch_size": 32, "num_worker": 4},
    "config/nturgbd-cross-subject/motion_lowmem.yaml": _FREQ | {"batch_size": 32, "num_worker": 4},
    "config/train/ntu_cs/SkateFormer_j.yaml": _SKATE,
    "config/train/ntu_cs/SkateFormer_b.yaml": _SKATE,
    "config/train/ntu_cs/SkateFormer_j_lowmem.yaml": _SKATE,
    "config/train/ntu_cs/SkateFormer_j_tiny.yaml": _SKATE,
    "config/test/ntu_cs/SkateFormer_j_lowmem.yaml": _SKATE_TEST,
    "config/test/ntu_cs/SkateFormer_j_tiny.yaml": _SKATE_TEST,
    "config/base/nturgbd-cross-subject/hyper_joint.yaml": _HYPER,
    "config/base/nturgbd-cross-subject/hyper_bone.yaml": _HYPER,
    "config/base/nturgbd-cross-subject/hyper_joint_motion.yaml": _HYPER,
    "config/kaggle/nturgbd-cross-subject/hyper_joint_smoke.yaml": _HYPER | {
        "num_epoch": 1, "save_epoch": 0, "eval_interval": 1, "log_interval": 1, "print_log": True, "num_worker": 0,
    },
    "config/st_gcn/ntu-xsub/train.yaml": _STGCN,
    "config/st_gcn/ntu-xview/train.yaml": _STGCN,
    "config/st_gcn/kinetics-skeleton/train.yaml": _STGCN,
    "config/st_gcn.twostream/ntu-xsub/train.yaml": _STGCN,
    "config/st_gcn/ntu-xsub/test.yaml": {"phase": "test", "weights": "./models/st_gcn.ntu-xsub.pt", "device": 0},
    "config/custom/train.yaml": {"work_dir": "./work_dir/recognition/custom_dataset", "device": [0], "batch_size": 32},
    "data/BOLD/train_categorical.yaml": _STGCN | {"device": [-1]},
}  # fmt: skip

_C = "--config ./config/nturgbd-cross-subject/default.yaml --work-dir ../work_dir/ctrgcn_ntu60_xsub_joint"
_G = "--config config/nturgbd-cross-subject/train_joint_kaggle.yaml --work-dir /workspace/work_dir/ntu60_xsub_msg3d"
_G_SMOKE = "--num-worker 0 --memory-friendly --eval-interval 1 --save-interval 1"
_F = "--config config/nturgbd-cross-subject/{} --work-dir /workspace/work_dir/freqmixformer --device 0"
_S = "--config ./config/{}/ntu_cs/SkateFormer_{}.yaml"
_H = "--config config/{}/nturgbd-cross-subject/hyper_{}.yaml --work-dir /workspace/work_dir/hypergcn --device 0"
_T = "recognition -c config/st_gcn/{}.yaml"
_TINY = "'type_1_size':[4,6],'type_2_size':[4,8],'type_3_size':[4,6],'type_4_size':[4,8]"
_CLI_ONLY = (
    "--phase train --work-dir /workspace/work_dir/skateformer_full_cli --feeder feeders.feeder_ntu.Feeder "
    "--train-feeder-args \"{'data_path':'./data/ntu/NTU60_CS.npz','split':'train','window_size':32,"
    "'p_interval':[0.5,0.75],'thres':32,'uniform':True,'partition':True}\" "
    "--test-feeder-args \"{'data_path':'./data/ntu/NTU60_CS.npz','split':'test','window_size':32,'p_interval':[0.95],"
    "'thres':32,'uniform':True,'partition':True}\" --model model.SkateFormer.SkateFormer_ "
    "--model-args \"{'num_classes':60,'num_people':2,'num_points':24,'kernel_size':7,'num_heads':8,'drop_path':0.05,"
    + _TINY + ",'mlp_ratio':4.0,'index_t':True}\" --batch-size 8 --test-batch-size 8 --num-worker 0 --num-epoch 500 "
    "--optimizer AdamW --base-lr 1e-3 --loss-type LSCE"
)  # fmt: skip
_KAGGLE_PATH = "\"{'data_path':'/workspace/data/NTU60/kaggle_raw/NTU60_CS.npz'}\""

# program, command line behind main.py, values (a dotted name goes into a dictionary)
COMMANDS = [
    ("C", _C, {"num_epoch": 65, "batch_size": 64, "device": [0], "num_worker": 32, "step": [35, 55]}),
    ("C", _C + "_smoke --num-epoch 1 --batch-size 8 --test-batch-size 8 --num-worker 0",
     {"num_epoch": 1, "batch_size": 8, "test_batch_size": 8, "num_worker": 0, "base_lr": 0.1}),
    ("C", _C + " --train_feeder_args bone=True --test_feeder_args bone=True",
     {"train_feeder_args.bone": True, "test_feeder_args.bone": True, "train_feeder_args.window_size": 64}),
    ("C", _C + " --model model.baseline.Model", {"model": "model.baseline.Model", "model_args.num_class": 60}),
    ("C", _C + " --phase test --save-score True --weights work_dir/ntu/csub/ctrgcn/runs-65-40690.pt --device 0",
     {"phase": "test", "save_score": True, "weights": "work_dir/ntu/csub/ctrgcn/runs-65-40690.pt"}),
    ("G", _G + "_kaggle --device 0 --num-worker 4",
     {"num_worker": 4, "device": [0], "batch_size": 32, "forward_batch_size": 16, "train_feeder_args.window_size": -1}),
    ("G", _G + "_smoke --device 0 --num-epoch 1 --batch-size 8 --forward-batch-size 4 --train-window-size 64 "
     "--test-window-size 64 " + _G_SMOKE,
     {"batch_size": 8, "forward_batch_size": 4, "test_batch_size": 16, "num_worker": 0, "num_epoch": 1,
      "train_feeder_args.window_size": 64, "test_feeder_args.window_size": 64, "train_feeder_args.random_choose": True,
      "train_feeder_args.random_shift": True, "eval_interval": 1, "save_interval": 1}),
    ("G", _G + "_smoke --device 0 --num-epoch 1 --batch-size 4 --forward-batch-size 2 --train-window-size 48 "
     "--test-window-size 64 " + _G_SMOKE,
     {"batch_size": 4, "forward_batch_size": 2, "test_batch_size": 16, "num_worker": 0,
      "train_feeder_args.window_size": 48, "test_feeder_args.window_size": 64}),
    ("G", _G + "_mf --device 0 --memory-friendly",
     {"batch_size": 16, "test_batch_size": 16, "forward_batch_size": 8, "num_worker": 4,
      "train_feeder_args.window_size": 64, "train_feeder_args.random_choose": True,
      "train_feeder_args.random_shift": True}),
    ("G", _G.replace("_kaggle.yaml", ".yaml") + " --device 0 --half", {"half": True, "amp_opt_level": 1}),
    ("F", _F.format("joint.yaml"), {"device": [0], "num_epoch": 100, "lr_decay_rate": 0.1}),
    ("F", _F.format("motion.yaml"), {"device": [0]}),
    ("F", _F.format("joint_lowmem.yaml"), {"batch_size": 32, "num_worker": 4}),
    ("F", _F.format("motion_lowmem.yaml"), {"batch_size": 32}),
    ("F", _F.format("joint.yaml") + f" --train-feeder-args {_KAGGLE_PATH} --test-feeder-args {_KAGGLE_PATH}",
     {"train_feeder_args.data_path": "/workspace/data/NTU60/kaggle_raw/NTU60_CS.npz",
      "test_feeder_args.data_path": "/workspace/data/NTU60/kaggle_raw/NTU60_CS.npz",
      "train_feeder_args.window_size": 64}),
    ("S", _S.format("train", "j") + " --work-dir /workspace/work_dir/skateformer_ntu60_xsub_joint --device 0",
     {"base_lr": 1e-3, "min_lr": 1e-5, "warmup_lr": 1e-7, "grad_clip": True, "optimizer": "AdamW"}),
    ("S", _S.format("train", "b") + " --work-dir w --device 0", {"num_epoch": 500}),
    ("S", _S.format("train", "j_lowmem") + " --work-dir w --device 0", {"phase": "train"}),
    ("S", _S.format("test", "j_lowmem") + " --device 0",
     {"phase": "test", "weights": "./pretrained/ntu60_CSub/SkateFormer_j.pt", "device": [0]}),
    ("S", _S.format("train", "j_tiny") + " --work-dir w --device 0", {"phase": "train"}),
    ("S", _S.format("test", "j_tiny") + " --device 0", {"phase": "test"}),
    ("S", _S.format("train", "j") + " --work-dir /workspace/work_dir/skateformer_custom --batch-size 8 "
     "--test-batch-size 8 --num-worker 0 --train-feeder-args \"{'window_size':32,'thres':32}\" "
     "--test-feeder-args \"{'window_size':32,'thres':32}\" "
     "--model-args \"{'num_heads':8,'drop_path':0.05," + _TINY + "}\"",
     {"train_feeder_args.window_size": 32, "train_feeder_args.data_path": "./data/ntu/NTU60_CS.npz",
      "model_args.num_heads": 8, "model_args.type_1_size": [4, 6], "model_args.num_classes": 60, "batch_size": 8}),
    ("S", _CLI_ONLY,
     {"config": None, "optimizer": "AdamW", "base_lr": 1e-3, "min_lr": 0.01, "warmup_lr": 0.01, "num_epoch": 500,
      "train_feeder_args.p_interval": [0.5, 0.75], "model_args.mlp_ratio": 4.0, "model_args.index_t": True,
      "loss_type": "LSCE", "feeder": "feeders.feeder_ntu.Feeder", "model": "model.SkateFormer.SkateFormer_"}),
    ("S", _S.format("train", "j_tiny") + " --work-dir w --num-epoch 5 --device 0", {"num_epoch": 5}),
    ("S", "--phase test " + _S.format("test", "j_tiny")
     + " --weights /workspace/work_dir/smoke/runs-5-25055.pt --device 0 --test-batch-size 8",
     {"weights": "/workspace/work_dir/smoke/runs-5-25055.pt", "test_batch_size": 8, "work_dir": "./work_dir/tiny"}),
    ("S", _S.format("train", "j") + " --work-dir w --batch-size 4 "
     "--train-feeder-args \"{'window_size':24,'thres':24}\"",
     {"train_feeder_args.window_size": 24, "test_feeder_args.window_size": 64, "batch_size": 4}),
    ("H", _H.format("base", "joint"), {"num_epoch": 140, "save_epoch": 110, "num_worker": 4}),
    ("H", _H.format("base", "bone") + " --num-worker 0", {"num_worker": 0}),
    ("H", _H.format("base", "joint_motion"), {"device": [0]}),
    ("H", _H.format("kaggle", "joint_smoke"), {"num_epoch": 1, "save_epoch": 0, "num_worker": 0}),
    ("T", _T.format("ntu-xsub/train"),
     {"device": [0, 1, 2, 3], "num_worker": 16, "num_epoch": 80, "nesterov": True,
      "work_dir": "./work_dir/recognition/ntu-xsub/ST_GCN", "save_interval": 10, "eval_interval": 5}),
    ("T", _T.format("ntu-xsub/train") + " --work_dir ./work_dir/my_experiment --device 0 1 2 3 --batch_size 32 "
     "--num_epoch 100 --base_lr 0.05",
     {"work_dir": "./work_dir/my_experiment", "batch_size": 32, "num_epoch": 100, "base_lr": 0.05}),
    ("T", _T.format("ntu-xsub/train") + " --device 0 1 2 3", {"device": [0, 1, 2, 3]}),
    ("T", _T.format("ntu-xsub/train") + " --num_worker 8 --save_interval 10 --eval_interval 5", {"num_worker": 8}),
    ("T", _T.format("ntu-xsub/train")
     + " --weights ./work_dir/recognition/ntu-xsub/ST_GCN/epoch50_model.pt --start_epoch 50",
     {"start_epoch": 50, "weights": "./work_dir/recognition/ntu-xsub/ST_GCN/epoch50_model.pt"}),
    ("T", _T.format("ntu-xsub/test") + " --weights ./work_dir/recognition/ntu-xsub/ST_GCN/epoch80_model.pt",
     {"phase": "test", "train_feeder_args": {}, "weights": "./work_dir/recognition/ntu-xsub/ST_GCN/epoch80_model.pt"}),
    ("T", _T.format("ntu-xsub/train") + " --weights ./models/st_gcn.ntu-xsub.pt", {"phase": "train"}),
    ("T", "recognition -c config/custom/train.yaml", {"test_feeder_args": {}, "batch_size": 32}),
    ("T", _T.format("ntu-xview/train"), {}),
    ("T", _T.format("kinetics-skeleton/train"), {}),
    ("T", "recognition -c config/st_gcn.twostream/ntu-xsub/train.yaml", {}),
    ("T", "recognition -c data/BOLD/train_categorical.yaml --use_gpu False", {"use_gpu": False, "device": [-1]}),
    ("T", "recognition -c data/BOLD/train_categorical.yaml --use_gpu False --phase test "
     "--weights work_dir/emotion/bold/ST_GCN_categorical/epoch30_model.pt", {"phase": "test", "use_gpu": False}),
]  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    """A folder with the configuration files that the commands name."""
    root = tmp_path_factory.mktemp("room")
    published = CTRGCN / "config/nturgbd-cross-subject/default.yaml"
    files = {**FILES, "config/nturgbd-cross-subject/default.yaml": published.read_text()}
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return root


@pytest.mark.parametrize("program, command, expected", COMMANDS, ids=[f"{c[0]}{i}" for i, c in enumerate(COMMANDS)])
def test_documented_command(program, command, expected, room, monkeypatch):
    monkeypatch.chdir(room)
    options = parse(recipe(program), shlex.split(command), room)
    for name, value in expected.items():
        flag, _, key = name.partition(".")
        got = getattr(options, flag)
        assert (got[key] if key else got) == value, name
