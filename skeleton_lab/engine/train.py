"""The training loop: epochs, batches, pieces of batches; saving, evaluating, stopping in between."""

from __future__ import annotations

import signal
import time

import torch
from torch import Tensor

from skeleton_lab.engine import evaluate as evaluation
from skeleton_lab.engine import last_checkpoint
from skeleton_lab.engine.checkpoint import random_states, save_tensors, weights_of
from skeleton_lab.engine.dataloader import unpack
from skeleton_lab.engine.last_checkpoint import LAST
from skeleton_lab.engine.logging import Progress, peak_memory
from skeleton_lab.engine.losses import logits_of
from skeleton_lab.engine.out_of_memory import OutOfMemory, Snapshot, is_out_of_memory, release
from skeleton_lab.engine.run_state import Diverged, Job, Stopped
from skeleton_lab.engine.train_state import Best


def fit(job: Job) -> None:
    """Train from ``job.state`` to the last epoch. Raises Stopped on a signal, Diverged on a loss that is no number."""
    state, options, style = job.state, job.options, job.style
    snapshot = Snapshot(job.net, job.team.device)
    job.stop.patient = True
    while state.epoch < options.num_epoch:
        number = state.epoch + 1
        train_epoch(job, snapshot)
        job.team.align(job.net)  # evaluation and checkpoints use the first process's batch-norm statistics
        if style.saves_after(number, options):
            save_weights(job, number)
        if job.loaders.choose is not None and style.evaluates_after(number, options):
            save_last(job)  # whatever becomes of the evaluation, the epoch is trained
            evaluate_epoch(job, number)
        state.epoch, state.iteration = number, 0
        save_last(job)
        (stop,) = job.team.any(bool(job.stop.signum))
        if stop:
            raise Stopped(job.stop.signum or signal.SIGTERM)
    job.stop.patient = False


def train_epoch(job: Job, snapshot: Snapshot) -> None:
    """The batches of one epoch that are still to be done, then the lines about it."""
    state, options, loader = job.state, job.options, job.loaders.train
    plan, total, epoch = loader.batch_sampler, len(state.losses), state.epoch
    plan.epoch, plan.start = epoch, state.iteration
    job.net.train()
    lr = job.rate(epoch, state.step)
    job.log(job.style.train_lines["epoch"].format(number=job.style.number(epoch + 1), lr=lr))
    job.summaries.add("train", state.step, epoch=epoch + (job.style.letter == "G"))
    begun, first, waited = time.monotonic(), state.iteration, 0.0
    title = f"epoch {epoch + 1}/{options.num_epoch}"
    progress = Progress(
        title, total, first, job.team.device, job.team.first, lambda each: still_to_do(job, each, epoch)
    )
    rates = []
    batches = iter(loader)
    try:
        while state.iteration < total:
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            lr = job.rate(epoch, state.step)
            train_batch(job, batch, lr, snapshot)
            rates.append(lr)
            progress.advance(lambda: float(state.losses[state.iteration - 1]) * job.team.world)
            show_iteration(job, lr)
            between_batches(job)
    finally:
        progress.close()
    seconds, job.batch_seconds = time.monotonic() - begun, progress.seconds_each()
    describe_epoch(job, first, rates, lr, seconds, waited)


def still_to_do(job: Job, each: float, evaluated: int) -> float:
    """Seconds that the run will need behind the epoch in work, at ``each`` seconds a batch.

    Args:
        evaluated: the epochs up to this one need no evaluation any more. The others count with what one took so far,
            nothing before the first.
    """
    last, done = job.options.num_epoch, job.state.epoch + 1
    seconds = (last - done) * len(job.state.losses) * each
    if job.loaders.choose is None:
        return seconds
    coming = sum(job.style.evaluates_after(number, job.options) for number in range(evaluated + 1, last + 1))
    times, took = job.evaluated
    return seconds + (coming + job.style.final_test) * took / max(times, 1)


def train_batch(job: Job, batch: list[Tensor], lr: float, snapshot: Snapshot) -> None:
    """One optimizer step; with too little GPU memory the batch is repeated in smaller pieces, by all processes."""
    state, optimizer = job.state, job.optimizer
    inputs, y = unpack(batch, job.style.index_t)
    for group in optimizer.param_groups:
        group["lr"] = lr
    snapshot.take()
    while True:
        optimizer.zero_grad(set_to_none=True)
        failed = False
        try:
            loss, correct = forward_backward(job, inputs, y)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        (someone_failed,) = job.team.any(failed)
        if not someone_failed:
            break
        optimizer.zero_grad(set_to_none=True)
        halve(job, len(y))
        snapshot.restore()
    state.losses[state.iteration] = loss
    state.accuracies[state.iteration] = correct
    if (state.iteration + 1) % job.finite_every == 0:
        check_finite(job, max(state.iteration + 1 - job.finite_every, 0), state.iteration + 1)
    job.team.sum_gradients(job.net)
    if job.style.clips_gradients and job.options.grad_clip:
        job.fabric.clip_gradients(job.net, optimizer.optimizer, max_norm=job.options.grad_max)
    optimizer.step()
    state.iteration += 1
    state.step += 1


def forward_backward(job: Job, inputs: list[Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the batch's mean loss, accumulated over pieces of at most ``state.forward_batch`` clips.

    Returns:
        This process's share of the batch's loss and accuracy: added up over the processes they are the batch's.
    """
    device, whole = job.team.device, job.options.batch_size
    loss = correct = torch.zeros((), device=device)
    for first in range(0, len(y), job.state.forward_batch):
        last = first + job.state.forward_batch
        labels = y[first:last].to(device, non_blocking=True)
        output = job.model(*[x[first:last].to(device, non_blocking=True) for x in inputs])
        piece = job.criterion(output, labels) * (len(labels) / whole)
        job.fabric.backward(piece)
        loss = loss + piece.detach()
        correct = correct + (logits_of(output).detach().argmax(1) == labels).sum() / whole
    return loss, correct


def halve(job: Job, clips: int) -> None:
    """Less at a time from now on, after memory ran out."""
    tried = min(job.state.forward_batch, clips)
    if tried <= 1:
        raise OutOfMemory
    job.state.forward_batch = (tried + 1) // 2
    release(job.team.device)
    job.log(
        f"Out of GPU memory with {tried * job.team.world} clips at once: going on with --forward-batch-size "
        f"{job.state.forward_batch * job.team.world}; the batch size stays {job.options.batch_size}."
    )


def check_finite(job: Job, first: int, last: int) -> None:
    """Complain if the loss of one of the batches first..last-1 is not a number, on all processes together."""
    losses = job.state.losses[first:last]
    losses = job.team.sum(losses.clone() if job.team.world > 1 else losses)
    finite = losses.isfinite()
    if finite.all():
        return
    wrong = int((~finite).nonzero()[0])
    batch = first + wrong + 1
    raise Diverged(
        f"the loss is {float(losses[wrong])} at epoch {job.state.epoch + 1}, batch {batch}: "
        f"lower --base-lr (now {job.options.base_lr}) or check the data; {LAST} holds an earlier, sound state"
    )


def between_batches(job: Job) -> None:
    """Save when it is time; on a signal save and stop."""
    due = job.team.first and time.monotonic() - job.saved_at >= 60 * job.options.checkpoint_minutes
    stop, due = job.team.any(bool(job.stop.signum), due)
    if stop or due:
        save_last(job)
    if stop:
        raise Stopped(job.stop.signum or signal.SIGTERM)


def show_iteration(job: Job, lr: float) -> None:
    """ST-GCN's line every --log-interval batches."""
    line, done = job.style.train_lines.get("iteration"), job.state.step - 1
    if line is not None and done % job.options.log_interval == 0:
        loss = float(job.team.sum(job.state.losses[job.state.iteration - 1].clone()))
        job.log(line.format(iteration=done, loss=loss, lr=lr))


def describe_epoch(job: Job, first: int, rates: list[float], lr: float, seconds: float, waited: float) -> None:
    """Lines, TensorBoard points and the metrics event of a trained epoch.

    Args:
        first: batches of it that an earlier process did; rates: learning rates of the others.
        seconds, waited: duration of those, and how much of it went by waiting for data.
    """
    state, options, lines = job.state, job.options, job.style.train_lines
    check_finite(job, 0, len(state.losses))
    losses = job.team.sum(state.losses.clone()).double().cpu()
    accuracies = job.team.sum(state.accuracies.clone()).double().cpu()
    loss, accuracy = float(losses.mean()), float(accuracies.mean())
    pieces = options.batch_size / options.forward_batch_size if job.style.pieces else 1
    share = min(round(100 * waited / seconds), 100) if seconds else 0
    values = {
        "loss": loss, "piece_loss": loss / pieces, "batch_size": options.batch_size, "acc": 100 * accuracy, "lr": lr,
        "data": share, "network": 100 - share, "seconds": seconds,
    }  # fmt: skip
    for name in ("loss", "lr", "time"):
        if name in lines:
            job.log(lines[name].format(**values))
    start = state.step - len(rates) + 1
    for i, rate in enumerate(rates):
        points = {"loss": float(losses[first + i]), "acc": float(accuracies[first + i]), "lr": rate}
        job.summaries.add("train", start + i, **points, **({"loss_l1": 0.0} if job.style.pieces else {}))
    job.metrics(
        "epoch",
        epoch=state.epoch + 1,
        step=state.step,
        loss=loss,
        acc=accuracy,
        lr=lr,
        seconds=seconds,
        samples_per_second=len(rates) * options.batch_size / seconds if seconds else None,
        data_seconds=waited,
        **peak_memory(job.team.device),
    )


def evaluate_epoch(job: Job, number: int) -> None:
    """Evaluate after 1-based epoch ``number`` and remember it if it is the best so far."""
    state, split, style = job.state, job.loaders.split, job.style
    job.log(style.eval_lines["epoch"].format(number=style.number(number)))
    rest = still_to_do(job, job.batch_seconds, number)
    result = evaluation.evaluate(job, job.loaders.choose, f"{split} {number}/{job.options.num_epoch}", rest)
    job.evaluated = job.evaluated[0] + 1, job.evaluated[1] + result.seconds
    evaluation.report_evaluation(job, result, split=split)
    if style.final_test:
        job.log(f"Accuracy:  {result.accuracy}  model:  {job.work_dir / 'runs'}", file=False, stamp=False)
    state.last = {"epoch": number, "step": state.step, **result.results()}
    if state.best is None or result.accuracy > state.best.accuracy:
        state.best = Best(number, state.step, result.accuracy, result.results(), weights_of(job.net))
    scores = style.scores == "always" or (style.scores == "asked" and job.options.save_score)
    last = number == job.options.num_epoch and not style.final_test
    evaluation.write_results(job, result, job.loaders.choose, number, split=split, scores=scores, final=last)
    extra = {"loss_l1": 0.0} if style.pieces else {}
    job.summaries.add("val", state.step, loss=result.loss, acc=result.accuracy, **extra)
    job.metrics("eval", epoch=number, split=split, seconds=result.seconds, **result.results())


def save_weights(job: Job, number: int) -> None:
    """The published files of 1-based epoch ``number``."""
    if not job.team.first:
        return
    name = job.style.weights.format(epoch=number, step=job.state.step)
    save_tensors(job.work_dir / name, weights_of(job.net))
    if "saved" in job.style.train_lines:
        job.log(job.style.train_lines["saved"].format(file=job.work_dir / name))
    if job.style.checkpoint:
        values = {"epoch": number, "step": job.state.step, "forward_batch_size": job.options.forward_batch_size}
        content = {
            "epoch": number,
            "optimizer_states": job.optimizer.optimizer.state_dict(),
            "lr_scheduler_states": multi_step_state(job, number),
        }
        save_tensors(job.work_dir / job.style.checkpoint.format(**values), content)


def multi_step_state(job: Job, number: int) -> dict:
    """What MS-G3D's MultiStepLR would hold, as plain values."""
    return {
        "milestones": {int(epoch): 1 for epoch in job.options.step},
        "gamma": 0.1,
        "base_lrs": [job.options.base_lr],
        "last_epoch": number,
        "_step_count": number + 1,
        "_last_lr": [job.rate(number, job.state.step)],
    }


def save_last(job: Job, *, finished: bool = False) -> None:
    """Everything a resumed run needs, in ``last.ckpt``; never a state whose losses are not numbers."""
    state, team = job.state, job.team
    if state.iteration:
        check_finite(job, 0, state.iteration)
    random = team.gather(random_states(team.device))
    content = state.content()
    for name in ("losses", "accuracies"):
        content[name] = team.sum(getattr(state, name)[: state.iteration].clone()).cpu()
    content["seconds"] = job.seconds()
    if team.first:
        last_checkpoint.save_last(
            job.work_dir,
            {
                "options": job.digest,
                "data": job.data,
                "circumstances": job.circumstances,
                "num_epoch": job.options.num_epoch,
                "seed": job.options.seed,
                "finished": finished,
                "model": weights_of(job.net),
                "optimizer": job.optimizer.optimizer.state_dict(),
                "precision": job.fabric.strategy.precision.state_dict(),
                "state": content,
                "random": random,
            },
        )
    job.saved_at = time.monotonic()
