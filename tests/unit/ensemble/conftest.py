"""A room's folder with the scores of four streams."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from places import ROOT
from score_files import STREAMS, K, N, recipe, write

from skeleton_lab.ensemble.program import main


@pytest.fixture
def lab(tmp_path, capsys):
    """A room's folder with four streams' scores and the labels; call it with flags: (exit code, stdout, stderr)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, N)
    (tmp_path / "data" / "ntu").mkdir(parents=True)
    np.savez(tmp_path / "data" / "ntu" / "NTU60_CS.npz", y_test=np.eye(K)[labels])
    shutil.copy(ROOT / "CTR-GCN" / "ensemble.py", tmp_path)
    scores = {}
    for stream in STREAMS:
        logits = rng.normal(size=(N, K)) + 1.2 * np.eye(K)[labels]
        scores[stream] = {f"test_{i}": row.astype(np.float32) for i, row in enumerate(logits)}
        (tmp_path / stream).mkdir()
        write(tmp_path / stream, scores[stream])

    def run(*flags, dataset="ntu/xsub", streams=STREAMS, room="CTR-GCN"):
        if not isinstance(streams, dict):
            streams = {stream: stream for stream in streams}
        folders = [word for flag, name in streams.items() for word in (f"--{flag}-dir", str(tmp_path / name))]
        code = main(recipe(room), str(tmp_path / "ensemble.py"), ["--dataset", dataset, *folders, *flags])
        return code, *capsys.readouterr()

    run.folder, run.labels, run.scores = tmp_path, labels, scores
    return run
