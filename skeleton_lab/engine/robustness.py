"""``--corrupt``: the accuracy of a test when clips are corrupted, by kind and severity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from skeleton_lab.data.feeders.corruption import EVERY, Corruption, cannot_happen, dimensions, parsed
from skeleton_lab.engine import tables
from skeleton_lab.engine.dataloader import corrupted, underlying
from skeleton_lab.engine.evaluate import Evaluation
from skeleton_lab.engine.run_evaluation import measure
from skeleton_lab.engine.runtime import Run

TABLE, PICTURE = "robustness.csv", "robustness.png"


def planned(run: Run) -> list[tuple[Corruption, Dataset]]:
    """The corruptions that ``--corrupt`` names, each with the feeder of its clips.

    Of ``all`` those are left out, and said, that cannot happen to clips of this skeleton.

    Raises:
        UsageError: one that is named cannot happen.
    """
    feeder: Any = underlying(run.loaders.test)
    named = {word.partition(":")[0] for word in run.options.corrupt} - {EVERY}
    plan, left_out = [], {}
    for corruption in parsed(run.options.corrupt):
        reason = None
        if corruption.kind not in named and hasattr(feeder, "stored_skeleton"):
            reason = cannot_happen(corruption, feeder.clips, feeder.stored_skeleton)
        if reason is None:
            plan.append((corruption, corrupted(feeder, corruption)))
        else:
            left_out[corruption.kind] = reason
    for kind, reason in left_out.items():
        run.log(f"--corrupt {EVERY}: without {kind}: {reason}")
    return plan


def withstand(run: Run, plan: Sequence[tuple[Corruption, Dataset]], clean: Evaluation) -> None:
    """Test once for each corruption; lines in the log, ``robustness.csv`` and ``.png`` in the work dir.

    The table is written after each of them: what has been measured is not lost where the run is stopped.

    Args:
        plan: of ``planned``.
        clean: the evaluation of the clips as they are, the first row of the table.
    """
    rows = [_row("none", 0, 0, clean)]
    for place, (corruption, feeder) in enumerate(plan):
        title = str(corruption)
        rest = (len(plan) - place - 1) * clean.seconds
        result = measure(run, run.loaders.evaluation(feeder), title, rest)
        D = dimensions(feeder.clips, feeder.stored_skeleton)
        rows.append(_row(corruption.kind, corruption.severity, corruption.amount(D), result))
        tops = ", ".join(f"Top{k} {accuracy:.2%}" for k, accuracy in result.top.items())
        run.log(f"Corrupted, {title:>8} ({corruption.told(D)}): {tops}, loss {result.loss:.4f}")
        run.metrics("robustness", **rows[-1])
        if run.team.first:
            tables.write(run, TABLE, rows)
    if run.team.first:
        run.log(f"Accuracy against corruptions: {run.work_dir / TABLE}", file=False)
        tables.draw(run, "robustness", PICTURE)


def _row(kind: str, severity: int, amount: float, result: Evaluation) -> dict[str, Any]:
    """Top-1 too where ``--show-topk`` does not ask for it: pictures and the report tell it."""
    told = {"corruption": kind, "severity": severity, "amount": amount}
    return {**told, **result.results(), "top1": result.top1, "clips": len(result.labels)}
