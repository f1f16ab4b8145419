"""One training step of the MLP on random input: does it run here?  ``python smoke_test.py --device cpu``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where skeleton_lab is

from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import Defaults, Parser, check_sizes
from skeleton_lab.utils.devices import pick_device


def run(options: argparse.Namespace) -> int:
    check_sizes(options, "batch_size", "seq_len", "feature_dim")
    import torch  # here: --help needs no PyTorch

    from skeleton_lab.baselines.models import CLASSES, SimpleMLP
    from skeleton_lab.engine.smoke import sgd_step

    device = pick_device(options.device)
    print(f"Running baselines smoke test on {device}")
    x = torch.randn(options.batch_size, options.seq_len, options.feature_dim, device=device)
    y = torch.randint(CLASSES, (options.batch_size,), device=device)
    loss, accuracy = sgd_step(SimpleMLP(options.seq_len * options.feature_dim).to(device), x, y)
    print(f"Smoke test ok - loss={loss:.4f}, acc={accuracy:.2f}%")
    return 0


def main() -> int:
    parser = Parser(description=__doc__, formatter_class=Defaults)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--batch-size", type=int, default=4, help="clips in the batch")
    parser.add_argument("--seq-len", type=int, default=16, help="frames of a clip")
    parser.add_argument("--feature-dim", type=int, default=150, help="values of a frame")
    options = parser.parse_args()
    return guarded(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
