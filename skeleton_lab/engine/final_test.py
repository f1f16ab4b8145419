"""The end of a run: the best epoch on the test set, the last epoch, the summary, the report; and phase test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from skeleton_lab.engine import robustness
from skeleton_lab.engine.anticipation import anticipate
from skeleton_lab.engine.averaging import finish_average, told
from skeleton_lab.engine.checkpoint import weights_of
from skeleton_lab.engine.evaluate import Evaluation
from skeleton_lab.engine.pretrained import epoch_of, step_of
from skeleton_lab.engine.run_evaluation import measure, report_evaluation, write_results
from skeleton_lab.engine.runtime import Run
from skeleton_lab.engine.saving import save_best, save_last
from skeleton_lab.engine.signals import Stopped
from skeleton_lab.engine.work_dir import holds_run


def finish(run: Run) -> None:
    """After the last epoch. The network and last.ckpt end with the last epoch's weights."""
    state, recipe = run.state, run.recipe
    best = None if state.best is None else {"epoch": state.best.epoch, "step": state.best.step, **state.best.results}
    last = state.last
    if state.best is not None and run.tests_best:
        ends_with = weights_of(run.learner.net)
        if run.loaders.split == "val":  # the test set has not been looked at yet
            last = {"epoch": last["epoch"], "step": last["step"], **_test(run, "last epoch on test").results()}
        run.learner.net.load_state_dict(state.best.weights)
        result = _test(run, "best epoch on test")
        stem = Path(recipe.weights.format(epoch=state.best.epoch, step=state.best.step)).stem
        _keep_first_scores(run)
        write_results(
            run, result, run.loaders.test, 1, scores=True, lists=(run.work_dir, stem), final=True,
            trained=state.best.epoch, class_file=f"epoch{state.best.epoch}_test_each_class_acc.csv",
        )  # fmt: skip
        best = {"epoch": state.best.epoch, "step": state.best.step, **result.results()}
        run.learner.net.load_state_dict(ends_with)
    if state.best is not None:
        summarise(run, best, last)
    save_best(run)
    averaged = finish_average(run, test=run.tests_best)
    run.results = {"best": best, "last": last or None, **({"ema": averaged} if averaged else {})}
    run.metrics("result", **run.results, seconds=run.seconds(), work_dir=str(run.work_dir))
    run.summaries.result(run.results)
    run.summaries.close()
    save_last(run, finished=True)
    write_report(run)


def _keep_first_scores(run: Run) -> None:
    """Epoch 1's own scores make room for the best epoch's, which ensembles look for under the published name."""
    own, kept = (run.work_dir / f"epoch1_{word}test_score.pkl" for word in ("", "own_"))
    written = run.recipe.scores == "always" or run.options.save_score
    if run.team.first and written and run.loaders.split == "test" and own.exists() and not kept.exists():
        own.replace(kept)


def _test(run: Run, title: str) -> Evaluation:
    return measure(run, run.loaders.test, title)


def summarise(run: Run, best: dict[str, Any], last: dict[str, Any]) -> None:
    """The published closing lines, then which number is which."""
    state, options = run.state, run.options
    values = {
        **options.settings(), "accuracy": state.best.accuracy, "epoch": state.best.epoch,
        "parameters": run.learner.parameters, "work_dir": run.work_dir,
    }  # fmt: skip
    for line in run.recipe.summary:
        run.log(line.format(**values))
    if run.loaders.split == "val":
        chosen = "Best on validation (subjects held out of training), measured on test"
    else:
        chosen = "Best on test (chosen on the test set itself)"
    for name, result in ((chosen, best), ("Last epoch", last)):
        run.log(f"{name}: epoch {result['epoch']}, {told(result)}")


def test_phase(run: Run) -> None:
    """--phase test: one evaluation of --weights."""
    options, recipe = run.options, run.recipe
    weights = Path(options.weights)
    plan = robustness.planned(run)
    for line in recipe.test_lines:
        run.log(line.format(model=options.model, weights=weights))
    file = recipe.logs_evaluation  # the others' log ends where the evaluation begins
    run.log(recipe.eval_lines["epoch"].format(number=recipe.number(1)), file=file)
    result = measure(run, run.loaders.test, "test")
    report_evaluation(run, result, file=file)
    scores = options.save_result if recipe.scores == "result" else options.save_score
    if recipe.lists_beside_weights:
        beside = weights.parent
        lists = (beside if os.access(beside, os.W_OK) else run.work_dir, weights.stem)
    else:
        lists = None if options.debug else (run.work_dir, weights.stem)
    # In the folder of a training the published name is that of its first epoch.
    class_file = f"{weights.stem}_test_each_class_acc.csv" if holds_run(run.work_dir) else None
    write_results(
        run, result, run.loaders.test, 1, scores=scores, lists=lists, final=True, trained=epoch_of(weights),
        class_file=class_file,
    )  # fmt: skip
    run.metrics("eval", epoch=1, split="test", seconds=result.seconds, **result.results())
    measured = {"epoch": 1, "step": step_of(weights), **result.results()}
    if options.observe:
        anticipate(run, result)
    if plan:
        robustness.withstand(run, plan, result)
    run.results = {"best": measured, "last": measured}
    run.metrics("result", **run.results, seconds=run.seconds(), work_dir=str(run.work_dir))
    if recipe.tested:
        run.log(recipe.tested)
    if run.metrics.path is not None:
        write_report(run)


def write_report(run: Run) -> None:
    """report.html and plots; a report that fails never fails the run.

    Raises:
        Stopped: a signal came meanwhile.
    """
    if not run.options.report or not run.team.first:
        return
    try:
        from skeleton_lab.reporting import run_report

        run.log(f"Report: {run_report.write(run.work_dir)}", file=False)
    except Stopped:
        raise
    except Exception as error:
        run.log(f"No report: {type(error).__name__}: {error}")
