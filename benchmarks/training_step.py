"""Time a training step of a room's network, fused against plain, interleaved in one run.

    python -m benchmarks.training_step --room CTR-GCN

The plain form is the network as its paper prints it, on autograd alone; the fused form is what trains.  Both have the
same weights and see the same batch.
"""

from __future__ import annotations

import copy
import sys
import time

import torch
from torch import Tensor, nn

from skeleton_lab.cost import counting, program
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.errors import guarded
from skeleton_lab.nn import is_fused, unfuse


def step(model: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> float:
    """Seconds for forward, loss and backward."""
    clock = time.perf_counter if y.is_cuda else time.process_time  # CPU time: other programs may share the machine
    start = clock()
    model.zero_grad()
    output = model(*inputs)
    Criterion(net=model)(output, y).backward()
    if y.is_cuda:
        torch.cuda.synchronize()
    return clock() - start


def measure(arguments) -> Tensor:
    """Seconds of a step, (repeats, 2): plain, fused."""
    fused, model_args = program.build(arguments)
    assert is_fused(fused)
    plain = unfuse(copy.deepcopy(fused))
    models = plain.to(arguments.device).train(), fused.to(arguments.device).train()
    inputs = counting.example(model_args, arguments.batch, arguments.frames, arguments.single_person)
    inputs = tuple(t.to(arguments.device) for t in inputs)
    y = torch.arange(arguments.batch, device=arguments.device)
    for model in models:
        step(model, inputs, y)
    times = [[step(model, inputs, y) for model in models] for _ in range(arguments.repeat)]
    return torch.tensor(times, dtype=torch.float64)


def main() -> None:
    options = program.parser()
    options.prog = "python -m benchmarks.training_step"
    options.set_defaults(room="CTR-GCN", batch=8, frames=64)
    options.description = __doc__.split("\n")[0]
    options.add_argument("--repeat", type=int, default=10)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--device", default="cpu")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    times = measure(arguments)
    for name, t in zip(("plain", "fused"), times.t()):
        print(f"{name:6} {1e3 * t.min():8.1f} ms at best, {1e3 * t.median():8.1f} ms median")
    print(f"ratio  {times[:, 0].min() / times[:, 1].min():8.2f} at best, "
          f"{times[:, 0].median() / times[:, 1].median():8.2f} of medians")  # fmt: skip


if __name__ == "__main__":
    sys.exit(guarded(main))
