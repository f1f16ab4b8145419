"""The commands of docs/pyskl-data.md, word by word, on small pickles and a small configuration."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from places import ROOT

CONFIG = """
start = [dict(type='PreNormalize2D'), dict(type='GenSkeFeat', dataset='coco', feats=['{stream}'])]
end = [dict(type='PoseDecode'), dict(type='FormatGCNInput', num_person=1), dict(type='Collect', keys=['keypoint'])]
train = [*start, dict(type='UniformSample', clip_len=12), *end]
test = [*start, dict(type='UniformSample', clip_len=12, num_clips=1), *end]
last = [*start, dict(type='UniformSample', clip_len=12, num_clips=10), *end]
model = dict(
    type='RecognizerGCN',
    backbone=dict(type='STGCN', gcn_adaptive='init', gcn_with_res=True, tcn_type='mstcn', base_channels=12,
                  num_person=1, num_stages=4, inflate_stages=[3], down_stages=[3], graph_cfg=dict(layout='coco', mode='spatial')),
    cls_head=dict(type='GCNHead', num_classes=3, in_channels=24))
data = dict(
    videos_per_gpu=2,
    train=dict(type='RepeatDataset', times=2, dataset=dict(
        type='PoseDataset', ann_file='clips.pkl', pipeline=train, split='xsub_train')),
    val=dict(type='PoseDataset', ann_file='clips.pkl', pipeline=test, split='xsub_val'),
    test=dict(type='PoseDataset', ann_file='clips.pkl', pipeline=last, split='xsub_val'))
optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005, nesterov=True)
lr_config = dict(policy='CosineAnnealing', min_lr=0, by_epoch=False)
total_epochs = 1
"""  # noqa: E501
MORE = {"train": "--device cpu --report false", "test": "--device cpu --report false",
        "ensemble": "--labels clips.pkl --layout pyskl:xsub"}  # fmt: skip


# In one process, which loads PyTorch once
MARK = "---- next command"
ONE_AFTER_THE_OTHER = f"""
import json, sys
from skeleton_lab.cli import main
for words in json.loads(sys.argv[1]):
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    if code:
        sys.exit(f"{{words}} ended with {{code}}")
    print({MARK!r}, flush=True)
"""


def commands() -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```$", (ROOT / "docs" / "pyskl-data.md").read_text(), re.S | re.M)
    return [line for block in blocks for line in block.splitlines()]


def write_clips(path) -> None:
    """People of COCO's 17 joints that move one of three joints, in pixels with scores."""
    rng = np.random.default_rng(0)
    annotations = []
    for number in range(24):
        x = np.cumsum(rng.normal(0, 2, (1, 20, 17, 2)), 1) + 400
        x[..., 9 + number % 3, 1] += 90 * np.sin(np.arange(20))
        annotations.append(
            {"frame_dir": f"clip{number}", "label": number % 3, "total_frames": 20, "img_shape": (720, 1280),
             "keypoint": x.astype(np.float16), "keypoint_score": np.ones((1, 20, 17), np.float16)}
        )  # fmt: skip
    names = [each["frame_dir"] for each in annotations]
    path.write_bytes(
        pickle.dumps({"split": {"xsub_train": names[:16], "xsub_val": names[16:]}, "annotations": annotations})
    )


@pytest.mark.slow
def test_from_a_python_configuration_to_a_fusion(tmp_path):
    """For two streams; the second one's commands are those of the first with another letter."""
    write_clips(tmp_path / "clips.pkl")
    lines = commands()
    assert [line.split()[1] for line in lines] == ["convert-config", "train", "test", "ensemble"]
    streams = [[re.sub(r"\bj\b|(?<=/)j(?=_)", stream, line) for line in lines[:3]] for stream in "jb"]
    for stream in "jb":
        (tmp_path / f"{stream}.py").write_text(CONFIG.replace("{stream}", stream))
    wanted = [*streams[0], *streams[1], lines[3]]
    words = [[*shlex.split(line)[1:], *shlex.split(MORE.get(line.split()[1], ""))] for line in wanted]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(words)], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "SKELETON_LAB_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    said = dict(zip(wanted, done.stdout.split(MARK)))
    assert "10 clips" in said[lines[0]] and "Mean class accuracy" in said[lines[2]]
    scores = []
    for stream in "jb":
        stored = pickle.loads((tmp_path / "work_dir" / f"{stream}_test" / "epoch1_test_score.pkl").read_bytes())
        assert list(stored) == [f"clip{number}" for number in range(16, 24)]
        scores.append(np.exp(np.stack(list(stored.values()))))
        np.testing.assert_allclose(scores[-1].sum(1), 1, rtol=1e-5)
    right = (sum(scores).argmax(1) == np.arange(16, 24) % 3).mean()
    assert f"Top1 Acc: {100 * right:.2f}%" in said[lines[3]]
