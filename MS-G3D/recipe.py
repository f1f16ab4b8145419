"""MS-G3D's training program: batches in pieces, folders of its own for weights and checkpoints, no final test."""

from __future__ import annotations

from skeleton_lab.engine import optim
from skeleton_lab.engine.recipe import EVAL_LINES, TRAIN_LINES, WITHOUT_EFFECT, Recipe

RECIPE = Recipe(
    "MS-G3D",
    mark="G",
    flags=("step", "save_score", "model_saved_name", "checkpoint", "optimizer_states", "eval_start"),
    without_effect=(*WITHOUT_EFFECT, "optimizer_states"),
    defaults={
        "work_dir": None, "seed": None, "num_worker": None, "batch_size": 32, "forward_batch_size": 16, "save_epoch": 0,
    },
    helps={
        "train_window_size": "frames per training clip (window_size of the feeder); longer ones are cut",
        "memory_friendly": "preset: batch sizes 16, forward batch 8, 4 workers, window 64 where none is set, training "
        "clips cropped and shifted at random; any explicit flag wins",
    },
    crops={"train": "random"},  # the test feeder cuts by itself
    memory_friendly={"random_choose": True, "random_shift": True},  # without a crop the feeder ignores the window
    schedule=optim.steps,
    pieces=True,
    weights="weights/weights-{epoch}-{step}.pt",
    checkpoint="checkpoints/checkpoint-{epoch}-fwbz{forward_batch_size}-{step}.pt",
    summaries="trainlogs",
    saving="interval",
    final_test=False,
    class_csv=False,
    ignores="equals",
    results="{word}-samples.txt",
    lists_beside_weights=False,
    copies=("network", "main.py"),
    arrays_turned=True,
    yaml_command=False,
    points_from_one=True,
    logs_evaluation=True,
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
)  # fmt: skip
