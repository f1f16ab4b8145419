"""PYSKL's configurations as YAML: what is literal, what is said, and that nothing of a file is run."""

from __future__ import annotations

import pytest
import yaml

from skeleton_lab import registry
from skeleton_lab.engine.config.convert_config import converted, main
from skeleton_lab.engine.config.python_literals import read
from skeleton_lab.errors import UsageError

SAMPLE = """
modality = 'bm'
graph = 'nturgb+d'
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='STGCN', gcn_adaptive='init', gcn_with_res=True, tcn_type='mstcn',
        graph_cfg=dict(layout=graph, mode='spatial')),
    cls_head=dict(type='GCNHead', num_classes=60, in_channels=256))
dataset_type = 'PoseDataset'
ann_file = 'data/nturgbd/' + 'ntu60_3danno.pkl'
start = [dict(type='PreNormalize3D')]
end = [dict(type='PoseDecode'), dict(type='FormatGCNInput', num_person=2),
       dict(type='Collect', keys=['keypoint', 'label'], meta_keys=[]), dict(type='ToTensor', keys=['keypoint'])]
feature = dict(type='GenSkeFeat', dataset=graph, feats=[modality])
train_pipeline = [
    *start, dict(type='RandomScale', scale=0.1), feature, dict(type='UniformSample', clip_len=100), *end]
val_pipeline = [*start, feature, dict(type='UniformSample', clip_len=100, num_clips=1), *end]
test_pipeline = [*start, feature, dict(type='UniformSample', clip_len=100, num_clips=10), *end]
data = dict(
    videos_per_gpu=16,
    workers_per_gpu=2,
    test_dataloader=dict(videos_per_gpu=1),
    train=dict(
        type='RepeatDataset',
        times=5,
        dataset=dict(type=dataset_type, ann_file=ann_file, pipeline=train_pipeline, split='xsub_train')),
    val=dict(type=dataset_type, ann_file=ann_file, pipeline=val_pipeline, split='xsub_val'),
    test=dict(type=dataset_type, ann_file=ann_file, pipeline=test_pipeline, split='xsub_val'))
optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0005, nesterov=True)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='CosineAnnealing', min_lr=0, by_epoch=False)
total_epochs = 16
checkpoint_config = dict(interval=1)
evaluation = dict(interval=1, metrics=['top_k_accuracy'])
log_config = dict(interval=100, hooks=[dict(type='TextLoggerHook')])
log_level = 'INFO'
work_dir = './work_dirs/stgcn++/bm'
"""


def made(tmp_path, text: str, **arguments):
    path = tmp_path / "config.py"
    path.write_text(text)
    return converted(read(path), str(path), **arguments)


def test_a_published_configuration_becomes_that_of_the_room(tmp_path):
    """Equal to the room's own YAML for the same stream, but for where the data lies and the augmentation."""
    found = made(tmp_path, SAMPLE, gpus=8)
    own = yaml.safe_load((registry.find("PYSKL").path / "config/stgcnpp/ntu60_xsub_3dkp/bm.yaml").read_text())
    for key in ("model", "model_args", "feeder", "base_lr", "weight_decay", "nesterov", "batch_size",
                "forward_batch_size", "test_batch_size", "num_epoch", "num_worker"):  # fmt: skip
        assert found.config[key] == own[key], key
    train, expected = found.config["train_feeder_args"], own["train_feeder_args"]
    assert train["pipeline"].pop(1) == {"type": "RandomScale", "scale": 0.1}
    assert train == {**expected, "data_path": "data/nturgbd/ntu60_3danno.pkl"}
    test = found.config["test_feeder_args"]
    assert (test["split"], test["test_mode"], test["pipeline"][2]["num_clips"]) == ("xsub_val", True, 1)
    assert found.notes == ["the last test takes 10 clips: --phase test --test-feeder-args num_clips=10"]


def test_what_has_no_counterpart_is_said(tmp_path):
    text = SAMPLE.replace("momentum=0.9", "momentum=0.8").replace("grad_clip=None", "grad_clip=dict(max_norm=40)")
    text = text.replace("policy='CosineAnnealing'", "policy='step'").replace("times=5", "times=5, seed=1")
    text += "find_unused_parameters = True\nload_from = 'a.pth'\nmodel['train_cfg'] = 1\n"
    with pytest.raises(UsageError, match=r"line 41: `model\['train_cfg'\] = 1` is not read"):
        made(tmp_path, text)
    notes = made(tmp_path, text.rpartition("model[")[0]).notes
    for word in ("momentum=0.8", "grad_clip={'max_norm': 40}", "lr_config", "find_unused_parameters=True", "load_from",
                 "--gpus N"):  # fmt: skip
        assert any(word in note for note in notes), word
    assert not any(word in note for note in notes for word in ("start=", "end=", "graph=", "log_config"))


@pytest.mark.parametrize(
    "change, word",
    [
        (("type='STGCN'", "type='AAGCN'"), "backbone 'AAGCN'; known here are STGCN, ProtoGCN"),
        (("'PoseDecode'", "'PoseDecoed'"), "Did you mean 'PoseDecode'?"),
        (("type='SGD'", "type='Lamb'"), "optimizer 'Lamb'"),
        (("total_epochs = 16", ""), "total_epochs"),
        (("dataset_type = 'PoseDataset'", "dataset_type = 'VideoDataset'"), "'VideoDataset'"),
        (("optimizer = dict(", "optimiser = dict("), "has no 'optimizer'"),
        (("modality = 'bm'", "_base_ = ['x.py']\nmodality = 'bm'"), "_base_ is not read"),
        (("modality = 'bm'", "modality = os.environ['M']"), "line 2: `os.environ['M']` is not read"),
        (("modality = 'bm'", "import os"), "line 2: `import os` is not read"),
        (("modality = 'bm'", "modality = unknown"), "`unknown` is not read"),
        (("modality = 'bm'", "modality = (lambda: 'bm')()"), "is not read"),
        (("modality = 'bm'", "modality = 'b' 'm' +"), "is no Python file"),
        (("tcn_type='mstcn'", "tcn_dropout=(0, 0, 0, 0, 0, 0, 0, 0, 0, 1)"), "a value for each stage"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, change, word, capsys):
    assert change[0] in SAMPLE
    path = tmp_path / "config.py"
    path.write_text(SAMPLE.replace(*change))
    assert main([str(path), "--output", str(tmp_path / "out.yaml")]) == 2
    said = capsys.readouterr().err
    assert word in said and said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "out.yaml").exists()


def test_a_value_that_grows_without_end(tmp_path):
    path = tmp_path / "config.py"
    path.write_text("a = [1, 1]\n" + "a = [a, a, a, a]\n" * 40)
    with pytest.raises(UsageError, match="more than 100000 entries"):
        read(path)
    path.write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(UsageError, match=r"config\.py"):
        read(path)
    with pytest.raises(UsageError, match=r"none\.py: cannot be read"):
        read(tmp_path / "none.py")


def test_values(tmp_path):
    path = tmp_path / "config.py"
    path.write_text('"""A text."""\na = 2 * -3 + 1\nb = dict(x=a, **dict(y=(1, 2)))\nc = {**b, "z": [*b["y"]]}\n')
    with pytest.raises(UsageError, match="line 4"):
        read(path)
    path.write_text('"""A text."""\na = 2 * -3 + 1\nb = dict(x=a, **dict(y=(1, 2)))\nc = {**b, "z": [True, None]}\n')
    values, helpers = read(path)
    assert values == {"a": -5, "b": {"x": -5, "y": (1, 2)}, "c": {"x": -5, "y": (1, 2), "z": [True, None]}}
    assert helpers == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a = 9999999999\n" + "a = a * a\n" * 40, "64 bits"),
        ("a = [" + "0, " * 50_000 + "]\nb = [" + "*a, " * 10_000 + "]\n", "100000 entries"),
        ("model = dict(backbone=5)", "model.backbone is a int"),
        (SAMPLE.replace("type='STGCN'", "type=['STGCN']"), "known here are STGCN"),
        (SAMPLE + "data = dict(train=[1])", "data.train is a list"),
        (SAMPLE + "data = dict(train=dict(type='RepeatDataset', dataset=[1]))", "data.train.dataset is a list"),
    ],
)
def test_values_of_another_kind_and_without_end(tmp_path, text, word):
    with pytest.raises(UsageError, match=word):
        made(tmp_path, text)


def test_a_text_with_ends_of_lines_stays_a_comment(tmp_path, capsys):
    path = tmp_path / "config.py"
    path.write_text(SAMPLE + "evil = 'a\\nbatch_size: 99999'\n")
    assert main([str(path)]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["batch_size"] == 16
