"""Time a training step of CTR-GCN against the plain reference, interleaved: ``python tests/reference/time_step.py``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference.ctrgcn import Model as Reference

from skeleton_lab.rooms import room


def step(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Seconds for forward, loss and backward."""
    clock = time.perf_counter if x.is_cuda else time.process_time  # CPU time: other programs may share the machine
    start = clock()
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    if x.is_cuda:
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--empty", type=float, default=0.0, help="share of samples without a second person")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with room("CTR-GCN"):
        from model.ctrgcn import Model

        fast = Model(graph="graph.ntu_rgb_d.Graph").to(args.device)
    plain = Reference(torch.tensor(fast.graph.A, dtype=torch.float32)).to(args.device)
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(args.batch, 3, 64, 25, 2, device=args.device)
    x[: round(args.batch * args.empty), ..., 1] = 0
    y = torch.arange(args.batch, device=args.device)
    step(plain, x, y), step(fast, x, y)
    times = torch.tensor([[step(plain, x, y), step(fast, x, y)] for _ in range(args.repeat)], dtype=torch.float64)
    for name, t in zip(("reference", "network"), times.t()):
        print(f"{name:10} {1e3 * t.min():8.1f} ms at best, {1e3 * t.median():8.1f} ms median")
    print(f"ratio      {times[:, 0].min() / times[:, 1].min():8.2f} at best, "
          f"{times[:, 0].median() / times[:, 1].median():8.2f} of medians")  # fmt: skip


if __name__ == "__main__":
    main()
