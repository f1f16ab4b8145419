"""Evaluation: every sample exactly once, whatever the number of processes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from skeleton_lab.engine.dataloader import BatchPlan, make_loader, underlying, unpack
from skeleton_lab.engine.logging import Progress
from skeleton_lab.engine.losses import heads_of, summed
from skeleton_lab.engine.out_of_memory import OutOfMemory, is_out_of_memory, release
from skeleton_lab.engine.runtime import Runtime
from skeleton_lab.engine.signals import Stopped
from skeleton_lab.errors import UsageError

SEVERAL = 6  # axes of a batch with several clips of each sample: samples, clips, and the four of a clip


@dataclass
class Evaluation:
    """Logits and labels in data order, and what follows from them.

    Attributes:
        logits: (N, K) float32, the sum of the heads', of samples with several clips as ``average`` says;
        labels: (N,) int64; both on the CPU.
        top: k -> share of the samples whose label is among the k largest logits, a fraction.
        seconds: that it took.
        heads: (N, H, K) float32, the logits of every head; H is 1 for nearly all networks.
        loss: mean over ``batches`` batches, where the caller computes one; a network alone has none.
    """

    logits: Tensor
    labels: Tensor
    top: dict[int, float]
    seconds: float
    heads: Tensor = field(repr=False)
    loss: float | None = None
    batches: int = 0

    @property
    def accuracy(self) -> float:
        """Share of right answers, a fraction."""
        return float((self.logits.argmax(1) == self.labels).double().mean())

    @property
    def top1(self) -> float:
        return self.accuracy

    @property
    def top5(self) -> float:
        return top_accuracies(self.logits, self.labels, 5)[5]

    def __repr__(self) -> str:
        return f"Evaluation({len(self.labels)} samples, top1={self.top1:.4f}, top5={self.top5:.4f})"

    def results(self) -> dict[str, float]:
        """``loss`` (where there is one), ``top1`` ... as metrics.jsonl has them."""
        loss = {} if self.loss is None else {"loss": self.loss}
        return {**loss, **{f"top{k}": accuracy for k, accuracy in self.top.items()}}


def evaluate(
    model: nn.Module | Callable[..., Any],
    loader: DataLoader | Dataset,
    *,
    runtime: Runtime | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 64,
    topk: Sequence[int] | int = (1, 5),
    title: str = "evaluation",
    rest: float = 0.0,
    index_t: bool | None = None,
) -> Evaluation:
    """What a network says about every sample of a data set; needs no loss, no command line and no work dir.

    ``evaluate(net, create_dataset(...), device="cuda:0").top1``

    Args:
        model: returns logits (N, K), a tuple that begins with them, or a list of heads, which are added up. It is in
            evaluation mode meanwhile.
        loader: batches (data, label, ...) or (data, index_t, label, ...), each sample once and in data order; or the
            data set (a feeder), which is read in batches of ``batch_size``.
        runtime: of a run with several processes, whose ``loader`` each holds every n-th sample.
        device: without ``runtime``: where to compute, and the network is moved there; by default where it is.
        topk: k of the accuracies in ``Evaluation.top``.
        title, rest: of the progress bar; seconds of work that come after.
        index_t: whether the network is called with the frames' times too; None: as the batches look.

    Raises:
        UsageError: no sample, or batches of another form. OutOfMemory: not even one clip fits.
        Stopped: a signal came, in a run that listens to them.
    """
    begun = time.monotonic()
    if runtime is None:
        runtime = Runtime.local(device or _device_of(model))
        if isinstance(model, nn.Module):
            model.to(runtime.device)
    if not isinstance(loader, DataLoader):
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size {batch_size!r} must be a whole number of at least 1")
        loader = make_loader(loader, BatchPlan(len(loader), batch_size, shuffle=False), 0, runtime.device, 0)
    heads, labels = _predict(model, loader, runtime, title, rest, index_t)
    parts = runtime.team.gather((heads, labels))
    total = sum(len(part[1]) for part in parts)
    all_heads, all_labels = heads.new_empty(total, *heads.shape[1:]), labels.new_empty(total)
    for rank, (part, part_labels) in enumerate(parts):
        all_heads[rank :: len(parts)], all_labels[rank :: len(parts)] = part, part_labels
    logits = summed(all_heads)
    top = top_accuracies(logits, all_labels, topk)
    return Evaluation(logits, all_labels, top, time.monotonic() - begun, all_heads)


def _device_of(model: Any) -> torch.device:
    """Where the first parameter lies; the CPU without any."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


@torch.inference_mode()
def _predict(
    model: Any, loader: DataLoader, runtime: Runtime, title: str, rest: float, index_t: bool | None
) -> tuple[Tensor, Tensor]:
    """This process's heads (N, H, K) and labels (N,), on the CPU."""
    if len(loader) == 0:
        raise UsageError(f"{title}: there are fewer samples than processes")
    heads, labels = [], []
    mode = getattr(underlying(loader), "average_clips", "prob")
    show = runtime.team.first and not runtime.quiet
    progress = Progress(title, len(loader), 0, runtime.device, show, lambda _: rest)
    try:
        with _in_evaluation_mode(model):
            for batch in loader:
                inputs, y = unpack(batch, index_t)
                several = inputs[0].dim() == SEVERAL
                heads.append(_of_clips(model, inputs, runtime, mode) if several else _forward(model, inputs, runtime))
                labels.append(y)
                progress.advance()
                if runtime.stop.signum and runtime.team.world == 1:
                    raise Stopped(runtime.stop.signum)
    finally:
        progress.close()
    return torch.cat(heads).float().cpu(), torch.cat(labels)


@contextlib.contextmanager
def _in_evaluation_mode(model: Any) -> Iterator[None]:
    """Meanwhile; afterwards every layer is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()} if isinstance(model, nn.Module) else {}
    if modes:
        model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _of_clips(model: Any, inputs: list[Tensor], runtime: Runtime, mode: str) -> Tensor:
    """(N, 1, K) of samples with several clips each, in passes of no more clips than there are samples."""
    size, clips = inputs[0].shape[:2]
    flat = [x.flatten(0, 1) for x in inputs]
    passes = [_forward(model, [x[k : k + size] for x in flat], runtime) for k in range(0, size * clips, size)]
    return average(summed(torch.cat(passes).float()).view(size, clips, -1), mode).unsqueeze(1)


def average(logits: Tensor, mode: str = "prob") -> Tensor:
    """What a network says of a sample, (N, K), by what it says of its clips: logits (N, clips, K).

    ``score``: the mean of the logits. ``prob``: logarithms of the mean of the probabilities, whose softmax that mean
    is again (PYSKL's ``average_clips``).

    Raises:
        UsageError: another mode.
    """
    if mode == "score":
        return logits.mean(1)
    if mode == "prob":
        return logits.log_softmax(2).logsumexp(1) - math.log(logits.shape[1])
    raise UsageError(f"average_clips is 'prob' or 'score', not {mode!r}")


def _forward(model: Any, inputs: list[Tensor], runtime: Runtime) -> Tensor:
    """Heads (N, H, K) of one batch, in pieces if the memory asks for it."""
    size, device = len(inputs[0]), runtime.device
    while True:
        piece = min(runtime.piece or size, size)
        try:
            outputs = []
            for first in range(0, size, piece):
                part = [x[first : first + piece].to(device, non_blocking=True) for x in inputs]
                outputs.append(torch.stack(heads_of(model(*part)), 1))
            return torch.cat(outputs)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        outputs = part = []
        if piece == 1:
            raise OutOfMemory(training=False)
        runtime.piece = (piece + 1) // 2
        release(device)
        runtime.log(
            f"Out of GPU memory: evaluation goes on with {runtime.piece} clips at a time; the results are equal."
        )


def top_accuracies(logits: Tensor, labels: Tensor, ks: Sequence[int] | int) -> dict[int, float]:
    """Share of the samples whose label is among the k largest logits, for every k."""
    ks = [ks] if isinstance(ks, int) else list(ks)
    best = logits.topk(min(max([*ks, 1]), logits.shape[1])).indices
    hits = best == labels[:, None]
    return {k: hits[:, :k].any(1).double().mean().item() for k in ks}
