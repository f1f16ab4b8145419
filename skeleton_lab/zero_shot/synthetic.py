"""A zero-shot benchmark without recordings: ``python -m skeleton_lab.zero_shot.synthetic --out DIR``.

The mean feature of a class is a fixed random linear map of its text feature.  A method that aligns both modalities
transfers to unseen classes; one that does not stays at one in S.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import class_splits
from skeleton_lab.data.archives.class_splits import Split
from skeleton_lab.data.archives.npy_format import open_npy
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.zero_shot.features import feature_folder
from skeleton_lab.zero_shot.features.ownership import put_away


@dataclass(frozen=True)
class Recipe:
    """How the features are drawn; the defaults are the benchmark. Rows are per class."""

    width: int = 256
    offset: float = 0.35
    spread: float = 0.42
    noise: float = 0.7
    temperature: float = 4.0
    train_rows: int = 60
    ztest_rows: int = 60
    second_rows: int = 20


def class_means(table: np.ndarray, recipe: Recipe, rng: np.random.RandomState) -> np.ndarray:
    """(n, V) float64 from the class table (n, D)."""
    centred = table.astype(np.float64)
    centred -= centred.mean(0)
    means = centred @ rng.standard_normal((table.shape[1], recipe.width))
    return recipe.offset + recipe.spread * means / means.std()


def draw(
    means: np.ndarray, classes: np.ndarray, rows: int, recipe: Recipe, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Features (len(classes) * rows, V) float32, never negative, and their labels, class after class."""
    labels = np.repeat(classes, rows)
    noisy = means[labels] + recipe.noise * rng.standard_normal((len(labels), recipe.width))
    return np.maximum(0, noisy).astype(np.float32), labels.astype(np.int64)


def logits(x: np.ndarray, centres: np.ndarray, seen: np.ndarray, num_class: int, temperature: float) -> np.ndarray:
    """(N, n) float32: of a nearest-mean classifier of the seen classes; unseen columns lie below all of them."""
    scores = (x.astype(np.float64) @ centres.T - (centres**2).sum(1) / 2) / temperature
    scores -= scores.max(1, keepdims=True)
    full = np.repeat(scores.min(1, keepdims=True) - 1, num_class, 1)
    full[:, seen] = scores
    return full.astype(np.float32)


def arrays(
    table: np.ndarray, train: Split, val: Split, recipe: Recipe, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The files of both phases by name, drawn from one stream."""
    rng = np.random.RandomState(seed)
    means = class_means(table, recipe, rng)
    everything = np.arange(train.num_class)
    found = []
    for split, second, classes in ((train, "gtest", everything), (val, "val", val.seen)):
        content: dict[str, np.ndarray] = {}
        for name, group, rows in (
            ("train", split.seen, recipe.train_rows),
            ("ztest", split.unseen, recipe.ztest_rows),
            (second, classes, recipe.second_rows),
        ):
            content[name], content[feature_folder.LABELS[name]] = draw(means, group, rows, recipe, rng)
        training = content["train"].astype(np.float64)
        centres = np.stack([training[content["train_label"] == cls].mean(0) for cls in split.seen])
        for name in ("ztest", second):
            content[f"{name}_out"] = logits(content[name], centres, split.seen, train.num_class, recipe.temperature)
        found.append(content)
    return found[0], found[1]


def write(
    out: Path, text_feats: Path, num_class: int, unseen: int, encoder: str, modes: str, seed: int = 0,
    recipe: Recipe | None = None,
) -> tuple[Path, Path]:  # fmt: skip
    """Write ``<out>/sk_feats/shift_<S>_r`` and ``shift_val_<S>_r``; returns both folders.

    The names are those of the published features: other files that lie there go to ``previous/<n>/``.

    Raises:
        UsageError: no such split, or the folder cannot be written to.
        ArchiveNotFoundError: the text features are missing.
    """
    phases = [class_splits.load("r", unseen, num_class, phase) for phase in ("train", "val")]
    table = feature_folder.class_table(modes, encoder, num_class, text_feats)
    written = out / "sk_feats" / f"shift_{unseen}_r", out / "sk_feats" / f"shift_val_{unseen}_r"
    for folder, content in zip(written, arrays(table, *phases, recipe or Recipe(), seed)):
        try:
            if _same(folder, content):
                continue
            if (moved := put_away(folder)) is not None:
                print(f"{folder} held other features; they are in {moved} now", file=sys.stderr)
            for name, values in content.items():
                write_atomically(folder / f"{name}.npy", lambda file, values=values: np.save(file, values))
        except OSError as error:
            raise UsageError(f"--out: {folder} cannot be written to ({error.strerror or error})") from error
    return written


def _same(folder: Path, content: dict[str, np.ndarray]) -> bool:
    """Whether exactly these arrays are there."""
    if {path.stem for path in folder.glob("*.npy")} != set(content):
        return False
    try:
        return all(np.array_equal(open_npy(folder / f"{name}.npy").read(), values) for name, values in content.items())
    except LabError:
        return False


def main() -> int:
    parser = Parser("python -m skeleton_lab.zero_shot.synthetic", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder; sk_feats/ is written into it")
    parser.add_argument("--text-feats", type=Path, default=Path("text_feats"), help="text features (%(default)s)")
    parser.add_argument("--ntu", type=int, default=60, choices=(60, 120), help="classes (default: %(default)s)")
    parser.add_argument("--ss", type=int, default=12, help="unseen classes (default: %(default)s)")
    parser.add_argument("--le", default="ViT-B/32", help="text encoder (default: %(default)s)")
    parser.add_argument("--tm", default="lb", help="text mode (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the data (default: %(default)s)")
    flags = parser.parse_args()
    for folder in write(flags.out, flags.text_feats, flags.ntu, flags.ss, flags.le, flags.tm, flags.seed):
        print(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(guarded(main))
