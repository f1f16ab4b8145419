"""``--observe``: the accuracy of a test when only the beginning of every clip has been seen."""

from __future__ import annotations

import csv
import io

from skeleton_lab.engine.dataloader import observed
from skeleton_lab.engine.evaluate import Evaluation, evaluate, underlying
from skeleton_lab.engine.run_state import Job
from skeleton_lab.utils.atomic import write_atomically

TABLE, PICTURE = "anticipation.csv", "anticipation.png"


def anticipate(job: Job, whole: Evaluation) -> None:
    """Test once for each observed share; lines in the log, ``anticipation.csv`` and ``.png`` in the work dir.

    Args:
        whole: the evaluation of the test feeder as it is, which is not repeated for share 1.
    """
    feeder = underlying(job.loaders.test)
    rows = []
    for share in sorted(set(job.options.observe)):
        part = observed(feeder, (share,))
        same = getattr(feeder, "observe", None) == part.observe
        result = whole if same else evaluate(job, job.loaders.evaluation(part), f"first {share:.0%}")
        tops = ", ".join(f"Top{k} {accuracy:.2%}" for k, accuracy in result.top.items())
        job.log(f"Seen the first {share:4.0%} of each clip: {tops}, loss {result.loss:.4f}")
        job.metrics("anticipation", observed=share, **result.results())
        rows.append({"observed": share, **result.results(), "clips": len(result.labels)})
    if job.team.first:
        _write(job, rows)


def _write(job: Job, rows: list[dict[str, float]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    path = write_atomically(job.work_dir / TABLE, lambda file: file.write(text.getvalue().encode()))
    job.log(f"Accuracy against the observed share: {path}", file=False)
    try:
        from skeleton_lab.reporting.run_report import anticipation

        anticipation.draw([job.work_dir], job.work_dir / PICTURE)
    except Exception as error:  # a picture that fails never fails the run
        job.log(f"No {PICTURE}: {type(error).__name__}: {error}")
