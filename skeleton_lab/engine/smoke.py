"""What the rooms' smoke tests share: one step of SGD on random input, on the machine that is there.

A smoke test answers "does this image run at all?" and needs no file.  Used by the ``smoke_test.py`` of a room, and by
``smoke_test_all.py`` inside its image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils.cli import Parser, check_sizes
from skeleton_lab.utils.devices import pick_device

if TYPE_CHECKING:  # --help needs no PyTorch, so the functions import it
    import torch
    from torch import nn

CLASSES = 60


def sgd_step(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """One step of SGD (learning rate 0.01, momentum 0.9) with cross entropy.

    Args:
        model: maps ``x`` to logits (N, K), a tuple that begins with them, or a list of heads; ``axes``, if any, tell
            another order of those of a clip.
        x: (N, C, T, V, M).
        y: (N,) class ids.

    Returns:
        The loss and the share of right answers, in percent, before the step.

    Raises:
        UsageError: so few values that batch normalisation has only one per channel.
    """
    import torch

    from skeleton_lab.engine.losses import Criterion, logits_of

    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    if axes := getattr(model, "axes", ""):
        x = x.permute(0, *("NCTVM".index(axis) for axis in axes))
    try:
        output = model(x)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UsageError(
            "batch normalisation needs more than one value per channel: larger --batch-size or --frames"
        ) from error
    loss, logits = Criterion(net=model)(output, y), logits_of(output)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), 100 * (logits.argmax(1) == y).float().mean().item()


def random_clips(count: int, frames: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian clips (N, 3, T, 25, 2), and labels (N,) among CLASSES."""
    import torch

    x = torch.randn(count, 3, frames, 25, 2, device=device)
    return x, torch.randint(CLASSES, (count,), device=device)


def smoke_test(
    name: str, build: Callable[[int], nn.Module], frames: int, argv: Sequence[str] | None = None, batch_size: int = 2
) -> int:
    """The whole program: flags, one step on Gaussian input (B, 3, T, 25, 2), two lines of output, the exit code.

    Args:
        name: of the room, for the first line.
        build: makes the network for a number of frames T and 60 classes.
        frames, batch_size: the defaults of the flags.
        argv: instead of the command line.
    """
    parser = Parser(description=f"One training step of {name} on random input; reads no file.")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--batch-size", type=int, default=batch_size, help="clips in the batch (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=frames, help="frames of a clip (default: %(default)s)")
    options = parser.parse_args(argv)

    def program() -> int:
        check_sizes(options, "batch_size", "frames")
        from skeleton_lab.nn import fuse

        device = pick_device(options.device)
        print(f"Running {name} smoke test on {device}")
        x, y = random_clips(options.batch_size, options.frames, device)
        loss, accuracy = sgd_step(fuse(build(options.frames)).to(device), x, y)
        print(f"Smoke test ok - frames={options.frames}, loss={loss:.4f}, acc={accuracy:.2f}%")
        return 0

    return guarded(program)
