"""One training step of Hyper-GCN base on the first clips of a Kaggle file, or on random input where there is none.

python smoke_test_kaggle.py --device cuda:0 --batch-size 2 --window-size 48
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.data.archives.locate import locate
from skeleton_lab.engine.smoke import CLASSES, random_clips, sgd_step
from skeleton_lab.errors import ArchiveNotFoundError, UsageError, guarded
from skeleton_lab.utils.cli import Parser, check_sizes
from skeleton_lab.utils.devices import pick_device

if TYPE_CHECKING:  # --help needs no PyTorch, so the functions import it
    import torch


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", default="./data/NTU60_CS.npz", help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--batch-size", type=int, default=4, help="clips in the batch (default: %(default)s)")
    parser.add_argument("--window-size", type=int, default=48, help="frames of a clip (default: %(default)s)")
    parser.add_argument("--hyper-joints", type=int, default=3, help="virtual joints (default: %(default)s)")
    parser.add_argument("--use-synthetic", action="store_true", help="random input, whatever --data-path says")
    return parser.parse_args(argv)


def find(data_path: str) -> Path | None:
    """The file, or None, with a warning, if it is nowhere."""
    try:
        return locate(data_path, Path(__file__).resolve().parent)
    except ArchiveNotFoundError:
        print(f"Warning: {data_path} not found, running synthetic smoke test instead.")
        return None


def first_clips(path: Path, count: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first training clips (N, 3, T, 25, 2) and their labels (N,)."""
    import torch
    from feeders.feeder_ntu import Feeder

    from skeleton_lab.engine.dataloader import check_labels

    feeder = Feeder(str(path), split="train", p_interval=[0.5, 0.75], window_size=frames, debug=True)
    check_labels(feeder, CLASSES, f"{path}:")
    clips, labels, *_ = zip(*(feeder[i] for i in range(min(count, len(feeder)))))
    return torch.stack([torch.as_tensor(clip) for clip in clips]), torch.as_tensor(labels)


def smoke_test(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    check_sizes(options, "batch_size", "window_size")
    if options.hyper_joints < 0:
        raise UsageError(f"--hyper-joints must not be negative, not {options.hyper_joints}")
    from model.hypergcn_base import Model

    from skeleton_lab.nn import fuse

    device = pick_device(options.device)
    print(f"Running Hyper-GCN smoke test on {device}")
    path = None if options.use_synthetic else find(options.data_path)
    if path is None:
        x, y = random_clips(options.batch_size, options.window_size, device)
    else:
        x, y = first_clips(path, options.batch_size, options.window_size)
    model = Model(
        num_class=CLASSES,
        graph="graph.ntu_rgb_d.Graph",
        graph_args={"labeling_mode": "virtual_ensemble"},
        hyper_joints=options.hyper_joints,
    )
    loss, accuracy = sgd_step(fuse(model).to(device), x.to(device), y.to(device))
    print(f"Smoke test ok - batch_size={len(x)}, window={options.window_size}, loss={loss:.4f}, acc={accuracy:.2f}%")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return guarded(lambda: smoke_test(argv))


if __name__ == "__main__":
    raise SystemExit(main())
