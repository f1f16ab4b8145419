"""Descriptors of classes as semantics: in the classes' order beside texts, and never those of clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from zero_shot_folder import LE, flags, write

from skeleton_lab.zero_shot.align import program as align
from skeleton_lab.zero_shot.features import feature_folder
from skeleton_lab.zero_shot.text import generate
from skeleton_lab.zero_shot.text.sources import texts

D = 7
VECTORS = np.random.default_rng(0).standard_normal((60, D)).astype(np.float32)
LABELS = texts("lb", 60)


def packed(path: Path, names: list[str], values: np.ndarray, lengths: list[int] | None = None) -> Path:
    offsets = np.cumsum([0, *(lengths or [1] * len(names))])
    np.savez(path, names=np.array(names), values=values, offsets=offsets)
    return path


def made(path: Path, given: Path) -> int:
    words = ["--ntu", "60", "--descriptors", str(path), "--save_dir", str(given / "text_feats")]
    return generate.main(__file__, ntu=60, arch=LE, argv=words)


def test_descriptors_stand_beside_texts_in_the_order_of_the_classes_and_train(tmp_path, capsys):
    given, order = write(tmp_path / "given"), np.random.default_rng(1).permutation(60)
    names = [LABELS[k].replace("/", " or ") if k == 1 else LABELS[k].upper() for k in order]
    names = [f"A{k + 1:03d}" if k in (1, 5) else name for k, name in zip(order, names)]
    assert made(packed(tmp_path / "classes.npz", names, VECTORS[order]), given) == 0
    assert np.array_equal(np.load(given / "text_feats" / LE / "im_60.npy"), VECTORS)
    table = feature_folder.class_table("lb_im", LE, 60, given / "text_feats")
    text = np.load(given / "text_feats" / LE / "lb_60.npy")
    whole = np.concatenate([text, VECTORS], 1)
    np.testing.assert_allclose(table, whole / np.linalg.norm(whole, axis=1, keepdims=True), rtol=1e-5)
    assert align.train("fsvae", flags(given, tmp_path / "work", tm="lb_im")) == 0
    assert (tmp_path / "work" / "5_r" / LE / "lb_im" / "classifier.pth.tar").is_file()
    assert made(tmp_path / "classes.npz", given) == 2 and "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(("names", "lengths", "line"), [
    ([f"S001C001P001R001A{k + 1:03d}" for k in range(60)], None, "these are descriptors of clips"),
    (LABELS[:58], None, f"has no descriptor of {LABELS[58]}, {LABELS[59]}"),
    (LABELS[:59], [2] + [1] * 58, f"{LABELS[0]} has 2 vectors"),
    ([*LABELS[:59], "DRINK_WATER"], None, "has two descriptors of drink water: drink water, DRINK_WATER; which one"),
    ([*LABELS[:59], "A001"], None, "has two descriptors of drink water: drink water, A001; which one"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(names, lengths, line, tmp_path, capsys):
    count = sum(lengths) if lengths else len(names)
    assert made(packed(tmp_path / "classes.npz", names, VECTORS[:count], lengths), tmp_path) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1
