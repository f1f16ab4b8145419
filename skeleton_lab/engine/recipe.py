"""In what the published programs differ, as data: one row each, one engine for all.

=======  ===============  ======================================================================
letter   program          notable
=======  ===============  ======================================================================
C        CTR-GCN          warm-up and step schedule; best epoch tested at the end
F        FreqMixFormer    as C
H        Hyper-GCN        as C; smoothed loss plus divergence of the hyper-joints
S        SkateFormer      cosine schedule; batches carry ``index_t``; saves and evaluates late
G        MS-G3D           own folders, pieces of a batch, no final test
T        ST-GCN           0-based epochs in the log, own names, no final test
=======  ===============  ======================================================================
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field

TRAIN_LINES = {
    "epoch": "Training epoch: {number}",
    "loss": "\tMean training loss: {loss:.4f}.  Mean training acc: {acc:.2f}%.",
    "time": "\tTime consumption: [Data]{data:02d}%, [Network]{network:02d}%",
}
EVAL_LINES = {
    "epoch": "Eval epoch: {number}",
    "loss": "\tMean test loss of {batches} batches: {loss}.",
    "top": "\tTop{k}: {acc:.2f}%",
}


@dataclass(frozen=True)
class Style:
    """One program's habits.

    Attributes:
        schedule: see ``schedules.schedule``.
        smoothing: True, False, or None for "as --loss-type says".
        deterministic: cuDNN deterministic (True), benchmark (False) or left alone (None).
        weights: file of the weights after epoch ``{epoch}`` at ``{step}`` optimizer steps, in the work dir.
        saving: ``after_save_epoch``, ``last_tenth`` or ``interval``; evaluating: ``interval`` or ``last_tenth``.
        scores: score pickle: ``asked`` (--save-score), ``always`` or ``result`` (ST-GCN's test_result.pkl).
        ignores: which keys --ignore-weights drops: ``contains``, ``equals`` or ``starts``.
        results: name of the right/wrong lists (stem of the weights file, word right or wrong); empty: none.
        stamp: ``time.strftime`` format in front of a log line.
    """

    letter: str
    schedule: str = "warmup"
    smoothing: bool | None = False
    diverge: bool = False
    index_t: bool = False
    pieces: bool = False
    deterministic: bool | None = None
    normal_init: bool = False
    weights: str = "runs-{epoch}-{step}.pt"
    checkpoint: str = ""
    summaries: str = "runs"
    saving: str = "after_save_epoch"
    evaluating: str = "interval"
    final_test: bool = True
    scores: str = "asked"
    class_csv: bool = True
    ignores: str = "contains"
    results: str = "{stem}_{word}.txt"
    copies_source: bool = True
    clips_gradients: bool = False
    counts_from_zero: bool = False
    stamp: str = "[ %a %b %e %H:%M:%S %Y ] "
    header: tuple[str, ...] = ("Parameters: {options}", "# Parameters: {parameters}")
    summary: tuple[str, ...] = (
        "Best accuracy: {accuracy}",
        "Epoch number: {epoch}",
        "Model name: {work_dir}",
        "Model total number of params: {parameters}",
        "Weight decay: {weight_decay}",
        "Base LR: {base_lr}",
        "Batch Size: {batch_size}",
        "Test Batch Size: {test_batch_size}",
        "seed: {seed}",
    )
    test_lines: tuple[str, ...] = ("Model:   {model}.", "Weights: {weights}.")
    loading: str = "Load weights from {file}."
    train_lines: dict[str, str] = field(default_factory=lambda: TRAIN_LINES)
    eval_lines: dict[str, str] = field(default_factory=lambda: EVAL_LINES)

    def saves_after(self, epoch: int, options: Namespace) -> bool:
        """Whether the weights are written after 1-based ``epoch``."""
        if epoch == options.num_epoch:
            return True
        if self.saving == "last_tenth":
            return epoch >= 0.9 * options.num_epoch
        on_interval = epoch % options.save_interval == 0
        return on_interval and (self.saving == "interval" or epoch > options.save_epoch)

    def evaluates_after(self, epoch: int, options: Namespace) -> bool:
        """Whether the network is evaluated after 1-based ``epoch``."""
        if epoch == options.num_epoch:
            return True
        if self.evaluating == "last_tenth":
            return epoch >= 0.9 * options.num_epoch
        return epoch >= options.eval_start and epoch % options.eval_interval == 0

    def number(self, epoch: int) -> int:
        """1-based ``epoch`` as the log shows it."""
        return epoch - self.counts_from_zero


STYLES = {
    "C": Style("C", deterministic=True),
    "F": Style("F", deterministic=True),
    "H": Style(
        "H",
        smoothing=True,
        diverge=True,
        deterministic=False,
        train_lines={**TRAIN_LINES, "loss": "\tMean training loss: {loss:.4f}. Mean training acc: {acc:.2f}%."},
    ),
    "S": Style(
        "S",
        schedule="cosine",
        smoothing=None,
        index_t=True,
        deterministic=True,
        saving="last_tenth",
        evaluating="last_tenth",
        scores="always",
        clips_gradients=True,
        train_lines={**TRAIN_LINES, "lr": "\tLearning Rate: {lr:.4f}"},
    ),
    "G": Style(
        "G",
        schedule="steps",
        pieces=True,
        weights="weights/weights-{epoch}-{step}.pt",
        checkpoint="checkpoints/checkpoint-{epoch}-fwbz{forward_batch_size}-{step}.pt",
        summaries="trainlogs",
        saving="interval",
        final_test=False,
        class_csv=False,
        ignores="equals",
        results="{word}-samples.txt",
        header=("Parameters: {options}", "Model total number of params: {parameters}"),
        summary=(
            "Best accuracy: {accuracy}",
            "Epoch number: {epoch}",
            "Model name: {work_dir}",
            "Weight decay: {weight_decay}",
            "Base LR: {base_lr}",
            "Batch Size: {batch_size}",
            "Forward Batch Size: {forward_batch_size}",
            "Test Batch Size: {test_batch_size}",
        ),
        loading="Loading weights from {file}",
        train_lines={
            **TRAIN_LINES,
            "epoch": "Training epoch: {number}, LR: {lr:.4f}",
            "loss": "\tMean training loss: {piece_loss:.4f} (BS {batch_size}: {loss:.4f}).",
        },
        eval_lines={**EVAL_LINES, "top": "\tTop {k}: {acc:.2f}%"},
    ),
    "T": Style(
        "T",
        schedule="sgd_steps",
        normal_init=True,
        weights="epoch{epoch}_model.pt",
        summaries="",
        saving="interval",
        final_test=False,
        scores="result",
        class_csv=False,
        ignores="starts",
        results="",
        copies_source=False,
        counts_from_zero=True,
        stamp="[%m.%d.%y|%H:%M:%S] ",
        header=("Parameters: {options}",),
        summary=(),
        test_lines=("Model:   {model}.", "Weights: {weights}.", "Evaluation Start:"),
        train_lines={
            "epoch": TRAIN_LINES["epoch"],
            "iteration": "\tIter {iteration} Done. | loss: {loss:.4f} | lr: {lr:.6f}",
            "loss": "\tMean training loss: {loss}",
            "time": "Time consumption:\n\t[train]: {seconds:.1f} s\nDone.",
            "saved": "The model has been saved as {file}.",
        },
        eval_lines={**EVAL_LINES, "loss": "\tMean test loss: {loss}", "done": "Done."},
    ),
}
