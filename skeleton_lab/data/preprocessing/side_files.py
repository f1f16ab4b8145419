"""The side files of the CTR-GCN lineage: counts, logs and the clips before translation, all optional.

``raw_skes_data.pkl``, the bodies of all recordings in one pickle, is not among them: nothing needs it here.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.writers.streaming import Streamed, write_streamed_pickle
from skeleton_lab.data.preprocessing.denoise import HEADERS
from skeleton_lab.data.preprocessing.pipelines import Tick
from skeleton_lab.data.preprocessing.spool import Spool
from skeleton_lab.utils.atomic import write_atomically


def _text(path: Path, text: str) -> Path:
    return write_atomically(path, lambda file: file.write(text.encode()))


def write_reading(spool: Spool, out: Path) -> list[Path]:
    """``raw_data/``: frames per recording, and the frames that show nobody. Raises OSError."""
    counts, log, dropped = [], [], {}
    for name, note in spool.notes():
        counts.append(note["frames"])
        if note["dropped"]:
            log.append(f"{name}: {len(note['dropped'])} frames missed: {note['dropped']}\n\n")
            dropped[name] = np.array(note["dropped"])
    folder = out / "raw_data"
    return [
        _text(folder / "frames_cnt.txt", "".join(f"{count}\n" for count in counts)),
        _text(folder / "frames_drop.log", "".join(log)),
        write_atomically(folder / "frames_drop_skes.pkl", lambda file: file.write(pickle.dumps(dropped, protocol=4))),
    ]


def write_denoising(spool: Spool, out: Path, tick: Tick) -> list[Path]:
    """``denoised_data/``: clips before translation, their lengths, and who was taken for what. Raises OSError."""
    logs: dict[str, list[str]] = {name: [header] if header else [] for name, header in HEADERS.items()}
    folder = out / "denoised_data"
    for name, note in spool.notes():
        for log, lines in note["logs"].items():
            logs[log] += lines
        if note["actors"]:
            _plain(folder / "actors_info" / f"{name}.txt", note["actors"])
    paths = [_text(folder / f"{name}.log", "".join(f"{line}\n" for line in lines)) for name, lines in logs.items()]
    lengths = "".join(f"{spool.shapes(i)[0][0]}\n" for i in range(len(spool)))
    paths.append(_text(folder / "frames_cnt.txt", lengths))
    rows: dict[str, Callable[[int], np.ndarray]] = {"joints": spool.array}
    if all(len(spool.shapes(i)) == 2 for i in range(len(spool))):
        rows["colors"] = lambda i: spool.array(i, 1)
    for key, row in rows.items():
        items = Streamed(tick(row(i) for i in range(len(spool))))
        paths.append(write_streamed_pickle(folder / f"raw_denoised_{key}.pkl", items))
    return paths


def _plain(path: Path, text: str) -> None:
    """One of tens of thousands of little files: not flushed to the disk one by one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
