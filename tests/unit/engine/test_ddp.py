"""Two processes under torchrun on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_room
from toy_room import torchrun


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    return toy_room.make_room(tmp_path_factory.mktemp("room"))


@pytest.mark.slow
def test_two_processes_do_what_one_does(room, tmp_path):
    """Thirteen clips do not divide by two: every one is evaluated once, none is repeated."""
    flags = ("--checkpoint-minutes", "0", "--forward-batch-size", "4")
    model, small = "norm=False,drop=0.0", "norm=False,drop=0.0,limit=1"  # memory runs out in both processes
    one, two = tmp_path / "one", tmp_path / "two"
    assert toy_room.call(room, toy_room.arguments(one, *flags, "--model-args", model)) == 0
    done = torchrun(room, toy_room.arguments(two, *flags, "--model-args", small))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Training epoch: 1\n") == 1, "only the first process speaks"
    assert done.stdout.count("going on with --forward-batch-size 2;") == 1
    a, b = (np.load(work / "evaluation.npz") for work in (one, two))
    assert a["names"].tolist() == b["names"].tolist() and b["labels"].tolist() == [i % 4 for i in range(13)]
    np.testing.assert_allclose(a["logits"], b["logits"], rtol=1e-5, atol=1e-6)
    for kind in ("epoch", "eval"):
        for x, y in zip(toy_room.events(one, kind), toy_room.events(two, kind), strict=True):
            assert x["loss"] == pytest.approx(y["loss"], rel=1e-5)
            assert x.get("acc") == y.get("acc") and x.get("top1") == y.get("top1") and x.get("top2") == y.get("top2")
    assert toy_room.events(two, "start")[0]["device"] == "cpu x 2"
    code = torchrun(room, toy_room.arguments(two, *flags, "--model-args", small, "--resume", "--num-epoch", "3"))
    assert code.returncode == 0 and "Resuming" in code.stdout, code.stderr
