"""Small folders for the tests of the zero-shot programs, and the flags to run them with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from places import ROOT

from skeleton_lab.zero_shot import synthetic
from skeleton_lab.zero_shot.align import program as align
from skeleton_lab.zero_shot.gate import program as gate

LE = "ViT-B/32"
SMALL = synthetic.Recipe(width=24, train_rows=6, ztest_rows=6, second_rows=6)


def write(folder: Path) -> Path:
    """A folder with text_feats/ and sk_feats/ of the 55/5 split, small."""
    texts = folder / "text_feats" / LE
    texts.mkdir(parents=True)
    random = np.random.RandomState(1)
    for mode in ("lb", "ad"):
        np.save(texts / f"{mode}_60.npy", random.standard_normal((60, 32)).astype(np.float32))
    synthetic.write(folder, folder / "text_feats", 60, 5, LE, "lb", recipe=SMALL)
    return folder


def flags(given: Path, work: Path, phase: str = "train", **more: object) -> list[str]:
    """Of ``train.py``, short."""
    words = {
        "ntu": 60, "ss": 5, "st": "r", "ve": "shift", "le": LE, "tm": "lb", "num_cycles": 2, "num_epoch_per_cycle": 30,
        "latent_size": 8, "gpu": "cpu", "phase": phase, "mode": "train", "text_feats": given / "text_feats",
        "dataset": given / "sk_feats" / ("shift_5_r" if phase == "train" else "shift_val_5_r"),
        "wdir": work / ("5_r" if phase == "train" else "5_r_val"), **more,
    }  # fmt: skip
    written = []
    for name, value in words.items():
        if value is not None:
            written += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return written


def place(given: Path, phase: str = "train") -> Path:
    return given / "sk_feats" / ("shift_5_r" if phase == "train" else "shift_val_5_r")


def gate_flags(given: Path, work: Path, phase: str) -> list[str]:
    more = ["--text_feats", str(given / "text_feats")] if phase == "train" else ["--th", "50", "--t", "2"]
    name = "5_r" if phase == "train" else "5_r_val"
    return ["--ss", "5", "--le", LE, "--tm", "lb", "--ntu", "60", "--dataset", str(place(given, phase)),
            "--wdir", str(work / name), *more]  # fmt: skip


def stages(given: Path, work: Path, *more: str, seeds: tuple[str, ...] = (), order=("train", "val")) -> Path:
    """All four stages, in this process; returns the folder of stage 1, where ``zero_shot.html`` is written to."""
    for phase in order:
        assert align.train("msf", [*flags(given, work, phase), *more, *seeds]) == 0
    assert gate.gating_train([*gate_flags(given, work, "val"), *seeds]) == 0
    assert gate.gating_eval([*gate_flags(given, work, "train"), *seeds]) == 0
    return work / "5_r" / LE / "lb"


def copied(given: Path, to: Path) -> Path:
    """The folder again, with files that a test may damage."""
    for path in given.rglob("*.npy"):
        place = to / path.relative_to(given)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return to


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def one_error(capsys) -> str:
    """The one line of an error, after whatever was noticed before."""
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ") and sum(line.startswith("error: ") for line in lines) == 1
    assert not any("Traceback" in line for line in lines)
    return lines[-1]
