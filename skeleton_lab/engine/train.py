"""The training loop: epochs, batches, pieces of batches; saving, evaluating, stopping in between."""

from __future__ import annotations

import math
import signal
import time

import torch
from torch import Tensor

from skeleton_lab.engine import freezing
from skeleton_lab.engine.averaging import evaluate_average
from skeleton_lab.engine.checkpoint import weights_of
from skeleton_lab.engine.dataloader import unpack
from skeleton_lab.engine.logging import Progress, peak_memory
from skeleton_lab.engine.losses import logits_of
from skeleton_lab.engine.out_of_memory import OutOfMemory, Snapshot, is_out_of_memory, release
from skeleton_lab.engine.run_evaluation import measure, report_evaluation, write_results
from skeleton_lab.engine.runtime import Run
from skeleton_lab.engine.saving import check_finite, save_best, save_last, save_weights
from skeleton_lab.engine.signals import Stopped
from skeleton_lab.engine.train_state import Best, better, stopped_early
from skeleton_lab.utils.energy import Meter


def train(run: Run) -> None:
    """From ``run.state`` to the last epoch, or to where --early-stopping ends it.

    Raises Stopped on a signal, Diverged on a loss that is no number.
    """
    state, options, recipe = run.state, run.options, run.recipe
    snapshot = Snapshot(run.learner.net, run.runtime.device)
    run.runtime.stop.patient = True
    while state.epoch < options.num_epoch and (state.iteration or not stopped_early(state, options.early_stopping)):
        number = state.epoch + 1
        train_epoch(run, snapshot)
        run.team.align(run.learner.net)  # evaluation and checkpoints use the first process's batch-norm statistics
        saved = recipe.saves_after(number, options)
        if saved:
            save_weights(run, number)
        if run.loaders.choose is not None and recipe.evaluates_after(number, options):
            save_last(run)  # whatever becomes of the evaluation, the epoch is trained
            evaluate_epoch(run, number)
        if not saved and stopped_early(state, options.early_stopping):
            save_weights(run, number)
        state.epoch, state.iteration = number, 0
        save_last(run)
        run.summaries.flush()
        (stop,) = run.team.any(bool(run.runtime.stop.signum))
        if stop:
            raise Stopped(run.runtime.stop.signum or signal.SIGTERM)
    run.runtime.stop.patient = False
    if state.epoch < options.num_epoch:
        run.log(
            f"Stopped early after epoch {state.epoch} of {options.num_epoch}: no better accuracy on the validation "
            f"split since epoch {state.best.epoch} (--early-stopping {options.early_stopping})."
        )


def train_epoch(run: Run, snapshot: Snapshot) -> None:
    """The batches of one epoch that are still to be done, then the lines about it."""
    state, options, loader = run.state, run.options, run.loaders.train
    plan, total, epoch = loader.batch_sampler, len(state.losses), state.epoch
    plan.epoch, plan.start = epoch, state.iteration
    freezing.train(run.learner.net, run.learner.still)
    lr = run.learner.rate(epoch, state.step)
    run.log(run.recipe.train_lines["epoch"].format(number=run.recipe.number(epoch + 1), lr=lr))
    run.summaries.add("train", state.step, epoch=epoch + run.recipe.points_from_one)
    begun, first, waited = time.monotonic(), state.iteration, 0.0
    title = f"epoch {epoch + 1}/{options.num_epoch}"
    progress = Progress(
        title, total, first, run.runtime.device, run.team.first, lambda each: still_to_do(run, each, epoch)
    )
    rates, meter = [], Meter(run.runtime.device)
    batches = iter(loader)
    try:
        while state.iteration < total:
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            lr = run.learner.rate(epoch, state.step)
            train_batch(run, batch, lr, snapshot)
            rates.append(lr)
            meter.look()
            progress.advance(lambda: float(state.losses[state.iteration - 1]) * run.team.world)
            show_iteration(run, lr)
            between_batches(run)
    finally:
        progress.close()
    seconds, run.clock.batch_seconds = time.monotonic() - begun, progress.seconds_each()
    describe_epoch(run, first, rates, lr, seconds, waited, meter.joules)


def finite_every(run: Run) -> int:
    """Batches between looks at the losses; 1 where looking costs nothing."""
    return 50 if run.runtime.device.type == "cuda" else 1


def still_to_do(run: Run, each: float, evaluated: int) -> float:
    """Seconds that the run will need behind the epoch in work, at ``each`` seconds a batch.

    Args:
        evaluated: the epochs up to this one need no evaluation any more. The others count with what one took so far,
            nothing before the first.
    """
    last, done = run.options.num_epoch, run.state.epoch + 1
    seconds = (last - done) * len(run.state.losses) * each
    if run.loaders.choose is None:
        return seconds
    coming = sum(run.recipe.evaluates_after(number, run.options) for number in range(evaluated + 1, last + 1))
    times, took = run.clock.evaluated
    return seconds + (coming + run.tests_best) * took / max(times, 1)


def train_batch(run: Run, batch: list[Tensor], lr: float, snapshot: Snapshot) -> None:
    """One optimizer step; with too little GPU memory the batch is repeated in smaller pieces, by all processes."""
    state, optimizer = run.state, run.learner.optimizer
    inputs, y = unpack(batch, run.recipe.index_t)
    for group in optimizer.param_groups:
        group["lr"] = lr
    snapshot.take()
    while True:
        optimizer.zero_grad(set_to_none=True)
        failed = False
        try:
            loss, correct = forward_backward(run, inputs, y)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        (someone_failed,) = run.team.any(failed)
        if not someone_failed:
            break
        optimizer.zero_grad(set_to_none=True)
        halve(run, len(y))
        snapshot.restore()
    state.losses[state.iteration] = loss
    state.accuracies[state.iteration] = correct
    every = finite_every(run)
    if (state.iteration + 1) % every == 0:
        check_finite(run, max(state.iteration + 1 - every, 0), state.iteration + 1)
    run.team.sum_gradients(run.learner.net)
    if run.recipe.clips_gradients and run.options.grad_clip:
        run.runtime.fabric.clip_gradients(run.learner.net, optimizer.optimizer, max_norm=run.options.grad_max)
    optimizer.step()
    if run.learner.average is not None:
        run.learner.average.update(run.learner.net)
    state.iteration += 1
    state.step += 1


def forward_backward(run: Run, inputs: list[Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the batch's mean loss, accumulated over pieces of at most ``state.forward_batch`` clips.

    Returns:
        This process's share of the batch's loss and accuracy: added up over the processes they are the batch's.
    """
    device, whole = run.runtime.device, run.options.batch_size
    loss = correct = torch.zeros((), device=device)
    for first in range(0, len(y), run.state.forward_batch):
        last = first + run.state.forward_batch
        labels = y[first:last].to(device, non_blocking=True)
        output = run.learner.model(*[x[first:last].to(device, non_blocking=True) for x in inputs])
        piece = run.learner.criterion(output, labels) * (len(labels) / whole)
        run.runtime.fabric.backward(piece)
        loss = loss + piece.detach()
        correct = correct + (logits_of(output).detach().argmax(1) == labels).sum() / whole
    return loss, correct


def halve(run: Run, clips: int) -> None:
    """Less at a time from now on, after memory ran out."""
    tried = min(run.state.forward_batch, clips)
    if tried <= 1:
        raise OutOfMemory
    run.state.forward_batch = (tried + 1) // 2
    release(run.runtime.device)
    run.log(
        f"Out of GPU memory with {tried * run.team.world} clips at once: going on with --forward-batch-size "
        f"{run.state.forward_batch * run.team.world}; the batch size stays {run.options.batch_size}."
    )


def between_batches(run: Run) -> None:
    """Save when it is time; on a signal save and stop."""
    due = run.team.first and time.monotonic() - run.clock.saved_at >= 60 * run.options.checkpoint_minutes
    stop, due = run.team.any(bool(run.runtime.stop.signum), due)
    if stop or due:
        save_last(run)
    if stop:
        raise Stopped(run.runtime.stop.signum or signal.SIGTERM)


def show_iteration(run: Run, lr: float) -> None:
    """A line every --log-interval batches, where the recipe has one."""
    line, done = run.recipe.train_lines.get("iteration"), run.state.step - 1
    if line is not None and done % run.options.log_interval == 0:
        loss = float(run.team.sum(run.state.losses[run.state.iteration - 1].clone()))
        run.log(line.format(iteration=done, loss=loss, lr=lr))


def describe_epoch(
    run: Run, first: int, rates: list[float], lr: float, seconds: float, waited: float, joules: float | None
) -> None:
    """Lines, TensorBoard points and the metrics event of a trained epoch.

    Args:
        first: batches of it that an earlier process did; rates: learning rates of the others.
        seconds, waited: duration of those, and how much of it went by waiting for data.
        joules: that this process's device took meanwhile.
    """
    state, options, lines = run.state, run.options, run.recipe.train_lines
    check_finite(run, 0, len(state.losses))
    losses = run.team.sum(state.losses.clone()).double().cpu()
    accuracies = run.team.sum(state.accuracies.clone()).double().cpu()
    loss, accuracy = float(losses.mean()), float(accuracies.mean())
    pieces = options.batch_size / options.forward_batch_size if run.recipe.pieces else 1
    share = min(round(100 * waited / seconds), 100) if seconds else 0
    values = {
        "loss": loss, "piece_loss": loss / pieces, "batch_size": options.batch_size, "acc": 100 * accuracy, "lr": lr,
        "data": share, "network": 100 - share, "seconds": seconds,
    }  # fmt: skip
    for name in ("loss", "lr", "time"):
        if name in lines:
            run.log(lines[name].format(**values))
    start = state.step - len(rates) + 1
    for i, rate in enumerate(rates):
        points = {"loss": float(losses[first + i]), "acc": float(accuracies[first + i]), "lr": rate}
        run.summaries.add("train", start + i, **points, **({"loss_l1": 0.0} if run.recipe.pieces else {}))
    run.metrics(
        "epoch",
        epoch=state.epoch + 1,
        step=state.step,
        loss=loss,
        acc=accuracy,
        lr=lr,
        seconds=seconds,
        samples_per_second=len(rates) * options.batch_size / seconds if seconds else None,
        data_seconds=waited,
        energy_joules=energy_of_all(run, joules),
        **peak_memory(run.runtime.device),
    )


def energy_of_all(run: Run, joules: float | None) -> float | None:
    """Of all GPUs, nan if one does not tell; of processors, which all processes see, the first machine's."""
    if run.runtime.device.type == "cpu":
        return joules
    return float(run.team.sum(torch.tensor(math.nan if joules is None else joules, device=run.runtime.device)))


def evaluate_epoch(run: Run, number: int) -> None:
    """Evaluate after 1-based epoch ``number`` and remember it if it is the best so far."""
    state, split, recipe = run.state, run.loaders.split, run.recipe
    run.log(recipe.eval_lines["epoch"].format(number=recipe.number(number)))
    rest = still_to_do(run, run.clock.batch_seconds, number)
    result = measure(run, run.loaders.choose, f"{split} {number}/{run.options.num_epoch}", rest)
    run.clock.evaluated = run.clock.evaluated[0] + 1, run.clock.evaluated[1] + result.seconds
    report_evaluation(run, result, split=split)
    if recipe.final_test:
        run.log(f"Accuracy:  {result.accuracy}  model:  {run.work_dir / 'runs'}", file=False, stamp=False)
    state.last = {"epoch": number, "step": state.step, **result.results()}
    improved = better(result.accuracy, state.best)
    if improved:
        state.best = Best(number, state.step, result.accuracy, result.results(), weights_of(run.learner.net))
    scores = recipe.scores == "always" or (recipe.scores == "asked" and run.options.save_score)
    last = number == run.options.num_epoch and not run.tests_best
    write_results(run, result, run.loaders.choose, number, split=split, scores=scores, final=last)
    extra = {"loss_l1": 0.0} if recipe.pieces else {}
    run.summaries.add("val", state.step, loss=result.loss, acc=result.accuracy, **extra)
    run.metrics("eval", epoch=number, split=split, seconds=result.seconds, **result.results())
    improved = evaluate_average(run, number, last=last) or improved
    if improved:
        save_best(run)
