"""Evaluation: every sample exactly once, whatever the number of processes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from skeleton_lab.engine import score_files
from skeleton_lab.engine.dataloader import unpack
from skeleton_lab.engine.logging import Progress
from skeleton_lab.engine.losses import heads_of, summed
from skeleton_lab.engine.out_of_memory import OutOfMemory, is_out_of_memory, release
from skeleton_lab.engine.run_state import Job, Stopped
from skeleton_lab.errors import UsageError


@dataclass
class Evaluation:
    """Logits (N, K) and labels (N,) in data order, and what follows from them (accuracies are fractions)."""

    logits: Tensor
    labels: Tensor
    loss: float
    batches: int
    top: dict[int, float]
    seconds: float

    def results(self) -> dict[str, float]:
        return {"loss": self.loss, **{f"top{k}": accuracy for k, accuracy in self.top.items()}}

    @property
    def accuracy(self) -> float:
        return float((self.logits.argmax(1) == self.labels).double().mean())


def evaluate(job: Job, loader: DataLoader, title: str, rest: float = 0.0) -> Evaluation:
    """Run the network over ``loader``'s data set; ``rest``: seconds that the run will need afterwards.

    Loss and accuracies are computed from all logits in data order, in batches of ``test_batch_size``: the mean of
    batch losses comes out the same with several processes as with one.
    """
    begun = time.monotonic()
    heads, labels = _predict(job, loader, title, rest)
    parts = job.team.gather((heads, labels))
    total = sum(len(part[1]) for part in parts)
    all_heads, all_labels = heads.new_empty(total, *heads.shape[1:]), labels.new_empty(total)
    for rank, (part, part_labels) in enumerate(parts):
        all_heads[rank :: len(parts)], all_labels[rank :: len(parts)] = part, part_labels
    losses = job.criterion.of_batches(all_heads, all_labels, job.options.test_batch_size)
    all_logits = summed(all_heads)
    top = top_accuracies(all_logits, all_labels, job.options.show_topk)
    seconds = time.monotonic() - begun
    return Evaluation(all_logits, all_labels, sum(losses) / len(losses), len(losses), top, seconds)


@torch.inference_mode()
def _predict(job: Job, loader: DataLoader, title: str, rest: float) -> tuple[Tensor, Tensor]:
    """This process's heads (N, H, K) and labels (N,), on the CPU."""
    job.net.eval()
    if len(loader) == 0:
        raise UsageError(f"{title}: there are fewer samples than processes")
    heads, labels = [], []
    progress = Progress(title, len(loader), 0, job.team.device, job.team.first, lambda _: rest)
    try:
        for batch in loader:
            inputs, y = unpack(batch, job.style.index_t)
            heads.append(_forward(job, inputs))
            labels.append(y)
            progress.advance()
            if job.stop.signum and job.team.world == 1:
                raise Stopped(job.stop.signum)
    finally:
        progress.close()
        job.net.train()
    return torch.cat(heads).float().cpu(), torch.cat(labels)


def _forward(job: Job, inputs: list[Tensor]) -> Tensor:
    """Heads (N, H, K) of one batch, in pieces if the memory asks for it."""
    size, device = len(inputs[0]), job.team.device
    while True:
        piece = min(job.test_piece, size)
        try:
            outputs = []
            for first in range(0, size, piece):
                part = [x[first : first + piece].to(device, non_blocking=True) for x in inputs]
                outputs.append(torch.stack(heads_of(job.model(*part)), 1))
            return torch.cat(outputs)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        outputs = part = []
        if piece == 1:
            raise OutOfMemory(training=False)
        job.test_piece = (piece + 1) // 2
        release(device)
        job.log(f"Out of GPU memory: evaluation goes on with {job.test_piece} clips at a time; the results are equal.")


def top_accuracies(logits: Tensor, labels: Tensor, ks: list[int] | int) -> dict[int, float]:
    """Share of the samples whose label is among the k largest logits, for every k."""
    ks = [ks] if isinstance(ks, int) else list(ks)
    best = logits.topk(min(max([*ks, 1]), logits.shape[1])).indices
    hits = best == labels[:, None]
    return {k: hits[:, :k].any(1).double().mean().item() for k in ks}


def report_evaluation(job: Job, result: Evaluation, *, split: str = "test", file: bool = True) -> None:
    """The log lines of one evaluation."""
    lines = job.style.eval_lines
    values = {"batches": result.batches, "loss": result.loss}
    text = lines["loss"] if split == "test" else lines["loss"].replace("test", "validation")
    job.log(text.format(**values), file=file)
    for k, accuracy in result.top.items():
        job.log(lines["top"].format(k=k, acc=100 * accuracy), file=file)
    if "done" in lines:
        job.log(lines["done"], file=file)


def write_results(
    job: Job,
    result: Evaluation,
    loader: DataLoader,
    epoch: int,
    *,
    split: str = "test",
    scores: bool = False,
    lists: tuple[Path, str] | None = None,
    final: bool = False,
    trained: int | None = None,
    class_file: str | None = None,
) -> None:
    """The files of one evaluation (first process only).

    Args:
        epoch: number in the file names.
        scores: write the score pickle.
        lists: folder and stem of the right/wrong lists.
        final: write what the report needs.
        trained: 1-based epoch of the weights, 0 where it is not known; by default ``epoch``.
        class_file: name of the per-class file; by default that of ``epoch``.
    """
    if not job.team.first:
        return
    feeder = underlying(loader)
    logits, labels = result.logits.numpy(), result.labels.numpy()
    predicted = logits.argmax(1)
    if scores:
        name = "test_result.pkl" if job.style.scores == "result" else f"epoch{epoch}_{split}_score.pkl"
        lost = score_files.write_scores(job.work_dir / name, score_files.sample_names(feeder, len(labels)), logits)
        if lost:
            job.log(
                f"{name}: {lost} of {len(labels)} samples have the name of another one; the file has the last of each "
                "name, evaluation.npz has all."
            )
    if job.style.class_csv:
        confusion = score_files.confusion_matrix(labels, predicted, logits.shape[1])
        name = class_file or f"epoch{epoch}_{split}_each_class_acc.csv"
        score_files.write_class_accuracy(job.work_dir / name, confusion)
    if lists is not None and job.style.results:
        score_files.write_right_wrong(lists[0], job.style.results, lists[1], labels, predicted)
    if final:
        score_files.write_evaluation(job.work_dir, feeder, logits, labels, epoch if trained is None else trained)


def underlying(loader: DataLoader) -> torch.utils.data.Dataset:
    """The user's feeder behind a loader."""
    from skeleton_lab.engine.dataloader import Seeded

    return loader.dataset.dataset if isinstance(loader.dataset, Seeded) else loader.dataset
