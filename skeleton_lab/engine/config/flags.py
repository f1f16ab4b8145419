"""The flags of all published training programs, as data: one table, from which parser, defaults and checks follow.

The YAML key is the flag's name. A room's recipe names the ``optional`` flags that its program honours, and the defaults
that are its own; the other flags it accepts, says that they are ignored, and carries their default.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from skeleton_lab.utils.trust import HELP

DEMO_KEYS = ("video", "openpose", "height", "model_input_frame", "model_fps", "output_dir")  # of demos, in YAML files

# --memory-friendly
PRESET = {"batch_size": 16, "test_batch_size": 16, "forward_batch_size": 8, "num_worker": 4}
PRESET_WINDOW = 64

GROUPS = ("run", "data", "model", "optimisation", "evaluation and files", "machine")


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        kind: ``int``, ``float``, ``bool``, ``str``, ``ints``, ``floats``, ``strs``, ``device``, ``memory``,
            ``classes`` or ``dict``.
        default: where a recipe names no other.
        optional: honoured only by programs whose recipe names it.
        unused: without effect in every program.
        nullable: None may be given, although it is not the default.
        at_least, at_most: bounds of a number (or of each one in a list), included; ``above``, ``below``: excluded.
    """

    name: str
    kind: str
    default: Any
    help: str
    group: str = "run"
    optional: bool = False
    unused: bool = False
    nullable: bool = False
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    short: str = ""

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")


def _group(name: str, *flags: Flag) -> tuple[Flag, ...]:
    return tuple(replace(flag, group=name) for flag in flags)


# fmt: off
RUN = _group(
    "run",
    Flag("work_dir", "str", "./work_dir/temp", "folder for everything the run writes; created",
         nullable=True, short="-w"),
    Flag("config", "str", None, "YAML file; explicit flags win over it", short="-c"),
    Flag("phase", "str", "train", "train, test (needs --weights) or print the model's size",
         choices=("train", "test", "model_size")),
    Flag("seed", "int", 1, "seed of everything random; None: drawn anew for each run",
         nullable=True, at_least=0, at_most=2**32 - 1),
    Flag("start_epoch", "int", 0, "epochs already done (with --weights: continue published checkpoints)", at_least=0),
    Flag("num_epoch", "int", 80, "number of the last epoch, not a count after resuming", at_least=1),
    Flag("resume", "bool", False, "go on from last.ckpt in the work dir exactly where the run stopped, or begin"),
    Flag("checkpoint_minutes", "float", 10.0, "minutes between saves of last.ckpt within an epoch", at_least=0),
    Flag("checkpoint", "str", None, "published checkpoint file: optimiser and schedule", optional=True),
    Flag("optimizer_states", "str", None, "no effect, use --checkpoint", optional=True),
    Flag("debug", "bool", False, "only the first 100 samples of each split"),
    Flag("model_saved_name", "str", "", "no effect, checkpoints are {work_dir}/runs-...", optional=True),
    Flag("trust_code", "bool", False, HELP),
    Flag("assume_yes", "bool", False, "no effect, nothing is ever asked", unused=True),
)

DATA = _group(
    "data",
    Flag("feeder", "str", "feeder.feeder", "class that feeds the samples, e.g. feeders.feeder_ntu.Feeder"),
    Flag("train_feeder_args", "dict", {}, "arguments of the training feeder, merged into those of the YAML file: "
         "\"{'window_size':32}\", window_size=32,bone=True or {window_size: 32}"),
    Flag("test_feeder_args", "dict", {}, "the same for the test feeder"),
    Flag("skeleton", "str", None, "skeleton of the clips: a name that `skeleton-lab skeletons` lists, or your own, "
         "FILE.yaml; the network is made for it. None: what the archive says"),
    Flag("num_worker", "int", 32, "loader processes; 0: none",
         nullable=True, at_least=0, at_most=256),
    Flag("train_window_size", "int", None, "frames per training clip (window_size of the feeder)", at_least=-1),
    Flag("test_window_size", "int", None, "frames per test clip", at_least=-1),
    Flag("memory_friendly", "bool", False, "preset: batch sizes 16, forward batch 8, 4 workers, window 64 where none "
         "is set; any explicit flag wins"),
    Flag("classes", "classes", None, "train and evaluate on these classes only, e.g. 0-9,12 or ntu60_55_5:seen; labels "
         "and outputs stay those of all classes"),
    Flag("shots", "int", None, "train on so many clips of each class, drawn by --seed (few-shot)", at_least=1),
    Flag("val_split", "str", "none", "subjects: choose the best epoch on training subjects that are held out",
         choices=("none", "subjects")),
    Flag("val_share", "float", 0.1, "share of the training subjects that --val-split holds out", above=0, below=1),
)

MODEL = _group(
    "model",
    Flag("model", "str", None, "class of the network, e.g. model.ctrgcn.Model"),
    Flag("model_args", "dict", {}, "arguments of the network, merged like --train-feeder-args"),
    Flag("weights", "str", None, "weights to start from, or to test; a training begins anew with what belongs to other "
         "classes or another skeleton"),
    Flag("ignore_weights", "strs", [], "names of weights that are not loaded from --weights"),
    Flag("freeze", "str", None, "backbone: only the classifier learns, and what --weights does not have",
         nullable=True, choices=("backbone",)),
    Flag("fused", "bool", True, "run the network's fused form, which computes the same with less; no: as the paper "
         "prints it"),
    Flag("activation_checkpointing", "bool", False, "compute activations again in the backward pass: about a third "
         "slower, a fraction of the memory, same result"),
    Flag("compile", "bool", False, "torch.compile the network (needs a C compiler)"),
)

OPTIMISATION = _group(
    "optimisation",
    Flag("optimizer", "str", "SGD", "SGD, Adam or AdamW", choices=("SGD", "Adam", "AdamW")),
    Flag("base_lr", "float", 0.01, "learning rate before any schedule", at_least=0),
    Flag("step", "ints", [20, 40, 60], "epochs at which the learning rate drops", optional=True, at_least=0),
    Flag("lr_decay_rate", "float", 0.1, "factor of each drop", optional=True, at_least=0),
    Flag("warm_up_epoch", "int", 0, "epochs of warm-up", optional=True, at_least=0),
    Flag("cosine_epoch", "int", 0, "epochs of a cosine behind the warm-up, before the steps", optional=True,
         at_least=0),
    Flag("lr_scheduler", "str", None, "the schedule", optional=True, choices=("cosine",)),
    Flag("min_lr", "float", 0.01, "learning rate at the end of the cosine", optional=True, at_least=0),
    Flag("warmup_lr", "float", 0.01, "learning rate at the start of the warm-up", optional=True, at_least=0),
    Flag("warmup_prefix", "bool", False, "start the cosine behind the warm-up, not at epoch 0", optional=True),
    Flag("lr_ratio", "float", 0.001, "no effect", optional=True),
    Flag("nesterov", "bool", False, "Nesterov momentum (SGD)"),
    Flag("weight_decay", "float", 0.0005, "L2 on all parameters", at_least=0),
    Flag("scale_lr", "str", "none", "several processes: none: they share --batch-size, their number changes nothing; "
         "linear: each takes --batch-size clips, learning rates grow with their number", choices=("none", "linear")),
    Flag("ema", "float", None, "keep an exponential moving average of the weights with this decay, e.g. 0.999; it is "
         "evaluated and saved beside them, in ema/", above=0, below=1),
    Flag("early_stopping", "int", None, "stop after so many epochs without a better accuracy on the validation split "
         "(--val-split subjects); never on test data", at_least=1),
    Flag("grad_clip", "bool", False, "limit the norm of the gradient to --grad-max", optional=True),
    Flag("grad_max", "float", 1.0, "see --grad-clip", optional=True, above=0),
    Flag("loss_type", "str", "CE", "CE, or LSCE: with labels smoothed by 0.1", optional=True),
    Flag("batch_size", "int", 256, "training samples per optimiser step, all devices together", at_least=1),
    Flag("test_batch_size", "int", 256, "samples per batch in evaluation", at_least=1),
    Flag("forward_batch_size", "int", None, "samples per forward pass, a divisor of the batch size; the gradient is "
         "that of the whole batch, batch norm sees the piece. None: the whole batch", at_least=1),
)

EVALUATION = _group(
    "evaluation and files",
    Flag("save_score", "bool", False, "write score pickles", optional=True),
    Flag("save_result", "bool", False, "write test_result.pkl in phase test", optional=True),
    Flag("observe", "floats", [], "phase test: accuracy when only these shares of each clip have been seen, e.g. "
         "0.1 0.2 0.5 1.0; writes anticipation.csv and .png", above=0, at_most=1),
    Flag("corrupt", "strs", [], "phase test: accuracy when clips are corrupted: joints, limb, side, frames, gap, "
         "jitter, swap, view, scale or all; of all five severities, or of one: limb jitter:3; writes robustness.csv "
         "and .png"),
    Flag("show_topk", "ints", [1, 5], "accuracies to show", at_least=1),
    # Published defaults of 5 epochs that had no effect are left out: those programs evaluate every epoch.
    Flag("eval_interval", "int", 1, "epochs between evaluations", at_least=1),
    Flag("eval_epoch", "int", None, "no effect", optional=True),
    Flag("eval_start", "int", 1, "first epoch that is evaluated", optional=True, at_least=0),
    Flag("save_interval", "int", 1, "epochs between checkpoints", at_least=1),
    Flag("save_epoch", "int", 30, "checkpoints only after this epoch, and for the last one", optional=True),
    Flag("save_best", "bool", False, "keep the weights of the best epoch so far in best.pt: best on the validation "
         "split, else on the test data, which is said"),
    Flag("log_interval", "int", 100, "iterations between log lines", at_least=1),
    Flag("print_log", "bool", True, "append to log.txt"),
    Flag("save_log", "bool", True, "append to log.txt", optional=True),
    Flag("pavi_log", "bool", False, "no effect", optional=True),
    Flag("track", "strs", [], "send curves and settings to W&B or MLflow as well; without a server they write files",
         choices=("wandb", "mlflow")),
    Flag("report", "bool", True, "write report.html at the end"),
)

MACHINE = _group(
    "machine",
    Flag("device", "device", 0, "cpu, or GPUs: 0, 0 1, cuda:0; without any GPU everything runs on the CPU"),
    Flag("use_gpu", "bool", True, "False: CPU, whatever --device says"),
    Flag("memory", "memory", None, "auto or GiB of a device: add what makes the run fit, in this order: activation "
         "checkpointing, a smaller forward batch, mixed precision; a setting that a flag gives stays. auto: all that "
         "is free"),
    Flag("precision", "str", "32", "arithmetic", choices=("32", "16-mixed", "bf16-mixed", "64")),
    Flag("half", "bool", False, "the same as --precision 16-mixed; ignored on the CPU"),
    Flag("amp_opt_level", "int", 1, "with --half: 0 float32, 1 mixed precision; 2 and 3 count as 1",
         at_least=0, at_most=3),
    Flag("threads", "int", None, "CPU threads; None: OMP_NUM_THREADS, or one per CPU that this process may use",
         at_least=1, at_most=1024),
)
# fmt: on

FLAGS: dict[str, Flag] = {
    flag.name: flag for group in (RUN, DATA, MODEL, OPTIMISATION, EVALUATION, MACHINE) for flag in group
}
