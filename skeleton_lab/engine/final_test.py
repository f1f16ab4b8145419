"""The end of a run: the best epoch on the test set, the last epoch, the summary, the report; and phase test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from skeleton_lab.engine.anticipation import anticipate
from skeleton_lab.engine.checkpoint import weights_of
from skeleton_lab.engine.evaluate import Evaluation, evaluate, report_evaluation, write_results
from skeleton_lab.engine.pretrained import epoch_of, step_of
from skeleton_lab.engine.run_state import Job
from skeleton_lab.engine.train import save_last
from skeleton_lab.engine.work_dir import holds_run


def finish(job: Job) -> None:
    """After the last epoch. The network and last.ckpt end with the last epoch's weights."""
    state, style = job.state, job.style
    best = None if state.best is None else {"epoch": state.best.epoch, "step": state.best.step, **state.best.results}
    last = state.last
    if state.best is not None and style.final_test:
        ends_with = weights_of(job.net)
        if job.loaders.split == "val":  # the test set has not been looked at yet
            last = {"epoch": last["epoch"], "step": last["step"], **_test(job, "last epoch on test").results()}
        job.net.load_state_dict(state.best.weights)
        result = _test(job, "best epoch on test")
        stem = Path(style.weights.format(epoch=state.best.epoch, step=state.best.step)).stem
        _keep_first_scores(job)
        write_results(
            job, result, job.loaders.test, 1, scores=True, lists=(job.work_dir, stem), final=True,
            trained=state.best.epoch, class_file=f"epoch{state.best.epoch}_test_each_class_acc.csv",
        )  # fmt: skip
        best = {"epoch": state.best.epoch, "step": state.best.step, **result.results()}
        job.net.load_state_dict(ends_with)
    if state.best is not None:
        summarise(job, best, last)
    job.metrics("result", best=best, last=last or None, seconds=job.seconds(), work_dir=str(job.work_dir))
    job.summaries.close()
    save_last(job, finished=True)
    write_report(job)


def _keep_first_scores(job: Job) -> None:
    """Epoch 1's own scores make room for the best epoch's, which ensembles look for under the published name."""
    own, kept = (job.work_dir / f"epoch1_{word}test_score.pkl" for word in ("", "own_"))
    written = job.style.scores == "always" or job.options.save_score
    if job.team.first and written and job.loaders.split == "test" and own.exists() and not kept.exists():
        own.replace(kept)


def _test(job: Job, title: str) -> Evaluation:
    return evaluate(job, job.loaders.test, title)


def summarise(job: Job, best: dict[str, Any], last: dict[str, Any]) -> None:
    """The published closing lines, then which number is which."""
    state, options = job.state, job.options
    values = {
        **options.settings(), "accuracy": state.best.accuracy, "epoch": state.best.epoch, "parameters": job.parameters,
        "work_dir": job.work_dir, "seed": options.seed, "forward_batch_size": options.forward_batch_size,
    }  # fmt: skip
    for line in job.style.summary:
        job.log(line.format(**values))
    if job.loaders.split == "val":
        chosen = "Best on validation (subjects held out of training), measured on test"
    else:
        chosen = "Best on test (chosen on the test set itself)"
    for name, result in ((chosen, best), ("Last epoch", last)):
        tops = ", ".join(f"Top{key[3:]} {100 * value:.2f}%" for key, value in result.items() if key.startswith("top"))
        job.log(f"{name}: epoch {result['epoch']}, {tops}, loss {result['loss']:.4f}")


def test_phase(job: Job) -> None:
    """--phase test: one evaluation of --weights."""
    options, style = job.options, job.style
    weights = Path(options.weights)
    for line in style.test_lines:
        job.log(line.format(model=options.model, weights=weights))
    file = style.letter in "GT"  # the others' log ends where the evaluation begins
    job.log(style.eval_lines["epoch"].format(number=style.number(1)), file=file)
    result = evaluate(job, job.loaders.test, "test")
    report_evaluation(job, result, file=file)
    scores = options.save_result if style.scores == "result" else options.save_score
    if style.letter == "G":
        lists = None if options.debug else (job.work_dir, weights.stem)
    else:
        beside = weights.parent
        lists = (beside if os.access(beside, os.W_OK) else job.work_dir, weights.stem)
    # In the folder of a training the published name is that of its first epoch.
    class_file = f"{weights.stem}_test_each_class_acc.csv" if holds_run(job.work_dir) else None
    write_results(
        job, result, job.loaders.test, 1, scores=scores, lists=lists, final=True, trained=epoch_of(weights),
        class_file=class_file,
    )  # fmt: skip
    job.metrics("eval", epoch=1, split="test", seconds=result.seconds, **result.results())
    measured = {"epoch": 1, "step": step_of(weights), **result.results()}
    if options.observe:
        anticipate(job, result)
    job.metrics("result", best=measured, last=measured, seconds=job.seconds(), work_dir=str(job.work_dir))
    if style.letter in "CFHSG":
        job.log("Done.\n")
    if job.metrics.path is not None:
        write_report(job)


def write_report(job: Job) -> None:
    """report.html and plots; a report that fails never fails the run."""
    if not job.options.report or not job.team.first:
        return
    try:
        from skeleton_lab.reporting import run_report

        job.log(f"Report: {run_report.write(job.work_dir)}", file=False)
    except Exception as error:
        job.log(f"No report: {type(error).__name__}: {error}")
