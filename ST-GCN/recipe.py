"""ST-GCN's training program: a start drawn by the program, epochs counted from 0, files of its own, no final test."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from skeleton_lab.engine import optim
from skeleton_lab.engine.recipe import EVAL_LINES, TRAIN_LINES, Recipe

if TYPE_CHECKING:
    from torch import nn


def schedule(options: Namespace, iterations: int) -> Callable[[int, int], float]:
    """Steps with SGD; any other optimizer keeps its rate."""
    return optim.steps(options, iterations) if options.optimizer == "SGD" else lambda epoch, t: options.base_lr


def initialise(net: nn.Module) -> None:
    """Convolutions N(0, 0.02^2) without bias, batch norm N(1, 0.02^2) without bias."""
    from torch import nn  # here: the recipe is read before the command line

    for module in net.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


RECIPE = Recipe(
    "ST-GCN",
    mark="T",
    flags=("step", "save_result", "save_log", "pavi_log"),
    without_effect=("pavi_log",),
    defaults={
        "work_dir": "./work_dir/tmp", "seed": None, "num_worker": None, "step": [], "nesterov": True,
        "weight_decay": 0.0001, "eval_interval": 5, "save_interval": 10, "save_epoch": 0,
    },
    helps={
        "train_window_size": "frames per training clip (window_size of the feeder); longer ones are cut",
        "test_window_size": "frames per test clip; longer ones are cut",
        "print_log": "print on the screen",
    },
    rules=(("step", lambda o: o.optimizer != "SGD", "with --optimizer {optimizer} the rate is constant"),),
    subcommand="recognition",
    demos=("demo", "demo_offline", "demo_old"),
    workers_per_device=4,
    crops={"train": "random", "test": "middle"},
    schedule=schedule,
    initialise=initialise,
    weights="epoch{epoch}_model.pt",
    summaries="",
    saving="interval",
    final_test=False,
    scores="result",
    class_csv=False,
    ignores="starts",
    results="",
    copies=(),
    yaml_indent=4,
    counts_from_zero=True,
    print_log_is_screen=True,
    logs_network=False,
    logs_evaluation=True,
    stamp="[%m.%d.%y|%H:%M:%S] ",
    header=("Parameters: {options}",),
    summary=(),
    test_lines=("Model:   {model}.", "Weights: {weights}.", "Evaluation Start:"),
    tested="",
    train_lines={
        "epoch": TRAIN_LINES["epoch"],
        "iteration": "\tIter {iteration} Done. | loss: {loss:.4f} | lr: {lr:.6f}",
        "loss": "\tMean training loss: {loss}",
        "time": "Time consumption:\n\t[train]: {seconds:.1f} s\nDone.",
        "saved": "The model has been saved as {file}.",
    },
    eval_lines={**EVAL_LINES, "loss": "\tMean test loss: {loss}", "done": "Done."},
)  # fmt: skip
