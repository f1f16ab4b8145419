"""``--observe``: the accuracy of a test when only the beginning of every clip has been seen."""

from __future__ import annotations

from skeleton_lab.engine import tables
from skeleton_lab.engine.dataloader import observed, underlying
from skeleton_lab.engine.evaluate import Evaluation
from skeleton_lab.engine.run_evaluation import measure
from skeleton_lab.engine.runtime import Run

TABLE, PICTURE = "anticipation.csv", "anticipation.png"


def anticipate(run: Run, whole: Evaluation) -> None:
    """Test once for each observed share; lines in the log, ``anticipation.csv`` and ``.png`` in the work dir.

    Args:
        whole: the evaluation of the test feeder as it is, which is not repeated for share 1.
    """
    feeder = underlying(run.loaders.test)
    rows = []
    for share in sorted(set(run.options.observe)):
        part = observed(feeder, (share,))
        same = getattr(feeder, "observe", None) == part.observe
        result = whole if same else measure(run, run.loaders.evaluation(part), f"first {share:.0%}")
        tops = ", ".join(f"Top{k} {accuracy:.2%}" for k, accuracy in result.top.items())
        run.log(f"Seen the first {share:4.0%} of each clip: {tops}, loss {result.loss:.4f}")
        run.metrics("anticipation", observed=share, **result.results())
        rows.append({"observed": share, **result.results(), "clips": len(result.labels)})
    if run.team.first:
        tables.write(run, TABLE, rows)
        run.log(f"Accuracy against the observed share: {run.work_dir / TABLE}", file=False)
        tables.draw(run, "anticipation", PICTURE)
