"""An evaluation within a run: with the run's loss, its log lines and its files."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import DataLoader

from skeleton_lab.engine import score_files
from skeleton_lab.engine.dataloader import underlying
from skeleton_lab.engine.evaluate import Evaluation, evaluate
from skeleton_lab.engine.runtime import Run
from skeleton_lab.utils import statistics


def measure(run: Run, loader: DataLoader, title: str, rest: float = 0.0) -> Evaluation:
    """Evaluate the run's network, loss included; ``rest``: seconds that the run will need afterwards.

    The loss is the mean over batches of ``test_batch_size`` clips in data order, so it comes out the same with several
    processes as with one.
    """
    learner, options = run.learner, run.options
    result = evaluate(
        learner.model, loader, runtime=run.runtime, topk=options.show_topk, title=title, rest=rest,
        index_t=run.recipe.index_t,
    )  # fmt: skip
    losses = learner.criterion.of_batches(result.heads, result.labels, options.test_batch_size)
    result.loss, result.batches = sum(losses) / len(losses), len(losses)
    return result


def report_evaluation(run: Run, result: Evaluation, *, split: str = "test", file: bool = True) -> None:
    """The log lines of one evaluation."""
    lines, log = run.recipe.eval_lines, run.log
    values = {"batches": result.batches, "loss": result.loss}
    text = lines["loss"] if split == "test" else lines["loss"].replace("test", "validation")
    log(text.format(**values), file=file)
    for k, accuracy in result.top.items():
        log(lines["top"].format(k=k, acc=100 * accuracy), file=file)
    if "mean_class" in lines:
        accuracy = statistics.mean_class_accuracy(result.labels.numpy(), result.logits.argmax(1).numpy())
        log(lines["mean_class"].format(acc=100 * accuracy), file=file)
    if "done" in lines:
        log(lines["done"], file=file)


def write_results(
    run: Run,
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
    folder: Path | None = None,
) -> None:
    """The files of one evaluation (first process only).

    Args:
        epoch: number in the file names.
        scores: write the score pickle.
        lists: folder and stem of the right/wrong lists.
        final: write what the report needs.
        trained: 1-based epoch of the weights, 0 where it is not known; by default ``epoch``.
        class_file: name of the per-class file; by default that of ``epoch``.
        folder: where they go; by default the work dir.
    """
    if not run.team.first:
        return
    feeder, recipe, folder = underlying(loader), run.recipe, folder or run.work_dir
    logits, labels = result.logits.numpy(), result.labels.numpy()
    predicted = logits.argmax(1)
    if scores:
        name = "test_result.pkl" if recipe.scores == "result" else f"epoch{epoch}_{split}_score.pkl"
        lost = score_files.write_scores(folder / name, score_files.sample_names(feeder, len(labels)), logits)
        if lost:
            run.log(
                f"{name}: {lost} of {len(labels)} samples have the name of another one; the file has the last of each "
                "name, evaluation.npz has all."
            )
    if recipe.class_csv:
        confusion = statistics.confusion(labels, predicted, logits.shape[1])
        name = class_file or f"epoch{epoch}_{split}_each_class_acc.csv"
        score_files.write_class_accuracy(folder / name, confusion)
    if lists is not None and recipe.results:
        score_files.write_right_wrong(lists[0], recipe.results, lists[1], labels, predicted)
    if final:
        score_files.write_evaluation(folder, feeder, logits, labels, epoch if trained is None else trained)
