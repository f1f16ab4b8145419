"""Work dirs of several networks and seeds, whose answers are made up: for the tests of ``compare``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.compare import names_and_labels, write

CLIPS, CLASSES = 240, 6


def make(folder: Path, networks: int = 2, seeds: int = 2, clips: int = CLIPS, classes: int = CLASSES) -> Path:
    """``folder/network0-joint-seed1`` ...; the clips' names are NTU RGB+D's."""
    names, labels = names_and_labels(clips, classes)
    names = np.array([f"{name}_{k}" for k, name in enumerate(names)])  # each once, of so few
    for network in range(networks):
        for seed in range(1, seeds + 1):
            write(folder / f"network{network}-joint-seed{seed}", 3 * network, seed, names, labels, classes)
    return folder


def answers(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names, classes and predicted classes of the test clips."""
    with np.load(run / "evaluation.npz") as file:
        return file["names"], file["labels"], file["logits"].argmax(1)


def rewrite(run: Path, keep: np.ndarray | None = None, **members: np.ndarray) -> None:
    """Change the evaluation: the rows ``keep`` in that order, other members."""
    with np.load(run / "evaluation.npz") as file:
        content = {key: file[key] for key in file.files}
    if keep is not None:
        content = {key: value[keep] if value.ndim else value for key, value in content.items()}
    np.savez(run / "evaluation.npz", **(content | members))
