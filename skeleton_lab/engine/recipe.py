"""In what published training programs differ, as data: a room's ``recipe.py`` holds one ``Recipe``, the engine runs it.

The defaults are the program of 2s-AGCN (Shi et al., CVPR 2019), which most later papers took over.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skeleton_lab.engine import optim

if TYPE_CHECKING:
    from torch import Tensor, nn

    from skeleton_lab.engine.config.flags import Flag

Rate = Callable[[int, int], float]  # (0-based epoch, optimizer steps done) -> learning rate
Rule = tuple[str, Callable[[Namespace], bool], str]  # flag, when it changes nothing, and why

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
# Flags that only some programs know (``Flag.optional``), and flags that the published program takes for nothing.
FLAGS = ("step", "warm_up_epoch", "save_score", "save_epoch", "model_saved_name")
WITHOUT_EFFECT = ("model_saved_name", "log_interval")
STREAMS: dict[str, dict[str, Any]] = {
    "joint": {"feeder_args": {"bone": False, "vel": False}},
    "bone": {"feeder_args": {"bone": True, "vel": False}},
    "joint-motion": {"feeder_args": {"bone": False, "vel": True}},
    "bone-motion": {"feeder_args": {"bone": True, "vel": True}},
}


@dataclass(frozen=True)
class Recipe:
    """One published program's habits.

    Attributes:
        name: of the program, as help and notices say it.
        mark: what ``last.ckpt`` calls it, which a resumed run must share.

        flags: names of the optional flags that it honours; the others it takes with a notice.
        without_effect: flags that it knows and that change nothing; defaults: flag -> value where it is another than
            everybody's; helps: flag -> another help text; rules: of its own, see ``config.unused_flags``.
        subcommand: word in front of the flags; demos: other such words, of programs that are not here.
        workers_per_device: loader processes where none are asked for; None: one per core.
        crops: split -> how clips longer than an asked for window are cut, where the feeder leaves them whole.
        memory_friendly: what --memory-friendly adds to the training feeder's arguments.

        schedule: (options, iterations per epoch) -> learning rate as a function of epoch and step.
        longer_run: said when a run is resumed with another --num-epoch.
        extra_loss: added to the cross entropy, of the network's whole output.
        clips_gradients: whether --grad-clip is looked at.
        initialise: the network's start, where the program and not the network draws it.
        index_t: batches carry the times of the frames, which the network takes too.
        pieces: the log shows the loss of a forward batch too; ``loss_l1`` goes to TensorBoard.
        deterministic: cuDNN deterministic (True), benchmark (False) or left alone (None).

        weights: file of the weights after epoch ``{epoch}`` at ``{step}`` optimizer steps, in the work dir.
        checkpoint: file of optimizer and scheduler beside it; empty: none.
        summaries: folder of TensorBoard's files; empty: none.
        saving: ``after_save_epoch``, ``last_tenth`` or ``interval``; evaluating: ``interval`` or ``last_tenth``.
        evaluates_last: how many epochs at the end are evaluated besides.
        final_test: whether the best epoch is tested at the end.
        scores: score pickle: ``asked`` (--save-score), ``always`` or ``result`` (test_result.pkl).
        class_csv: per-class accuracy after each evaluation.
        ignores: which keys --ignore-weights drops: ``contains``, ``equals`` or ``starts``.
        results: name of the right/wrong lists (stem of the weights file, word right or wrong); empty: none.
        lists_beside_weights: phase test writes them beside the weights, else into the work dir, and not with --debug.
        copies: what goes into the work dir: ``network`` (its module), ``main.py``.
        streams: what makes a configuration that of a stream, by the names of the room's ensemble: options, among which
            ``feeder_args`` are for both feeders, and ``config`` is a file beside the configuration.
        arrays_turned: its published .npy arrays hold clips that its generator has centred and turned.
        yaml_indent, yaml_command: of config.yaml, and whether it begins with the command line.

        counts_from_zero: epochs in the log; points_from_one: epochs in TensorBoard.
        print_log_is_screen: --print-log is about the screen and --save-log about the file.
        logs_network: the log begins with the network's class; logs_evaluation: phase test logs its results, too.
        stamp: ``time.strftime`` format in front of a log line.
    """

    name: str
    mark: str = ""

    flags: tuple[str, ...] = FLAGS
    without_effect: tuple[str, ...] = WITHOUT_EFFECT
    defaults: Mapping[str, Any] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    subcommand: str = ""
    demos: tuple[str, ...] = ()
    workers_per_device: int | None = None
    crops: Mapping[str, str] = field(default_factory=dict)
    memory_friendly: Mapping[str, Any] = field(default_factory=dict)

    schedule: Callable[[Namespace, int], Rate] = optim.warm_up_and_steps
    longer_run: str = ""
    extra_loss: Callable[[Any], Tensor | float] | None = None
    clips_gradients: bool = False
    initialise: Callable[[nn.Module], None] | None = None
    index_t: bool = False
    pieces: bool = False
    deterministic: bool | None = None

    weights: str = "runs-{epoch}-{step}.pt"
    checkpoint: str = ""
    summaries: str = "runs"
    saving: str = "after_save_epoch"
    evaluating: str = "interval"
    evaluates_last: int = 0
    final_test: bool = True
    scores: str = "asked"
    class_csv: bool = True
    ignores: str = "contains"
    results: str = "{stem}_{word}.txt"
    lists_beside_weights: bool = True
    copies: tuple[str, ...] = ("network",)
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: STREAMS)
    arrays_turned: bool = False
    yaml_indent: int = 2
    yaml_command: bool = True

    counts_from_zero: bool = False
    points_from_one: bool = False
    print_log_is_screen: bool = False
    logs_network: bool = True
    logs_evaluation: bool = False
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
    tested: str = "Done.\n"
    loading: str = "Load weights from {file}."
    train_lines: Mapping[str, str] = field(default_factory=lambda: TRAIN_LINES)
    eval_lines: Mapping[str, str] = field(default_factory=lambda: EVAL_LINES)

    def honours(self, flag: Flag) -> bool:
        """Whether the program knows the flag."""
        return not flag.optional or flag.name in self.flags

    def unused(self, flag: Flag) -> bool:
        """Whether the published flag has no effect."""
        return flag.unused or flag.name in self.without_effect

    def default(self, flag: Flag) -> Any:
        return self.defaults.get(flag.name, flag.default)

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
        if epoch > options.num_epoch - max(1, self.evaluates_last):
            return True
        if self.evaluating == "last_tenth":
            return epoch >= 0.9 * options.num_epoch
        return epoch >= options.eval_start and epoch % options.eval_interval == 0

    def number(self, epoch: int) -> int:
        """1-based ``epoch`` as the log shows it."""
        return epoch - self.counts_from_zero
