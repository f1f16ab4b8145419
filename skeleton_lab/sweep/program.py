"""``skeleton-lab sweep study.yaml``: starts what a study lacks, says where it stands, fuses and compares."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from skeleton_lab.engine.failures import explained
from skeleton_lab.errors import FAILURE, UsageError, guarded
from skeleton_lab.sweep import cluster, forecast, fusion, pool, ranking, runs, state, study, table, tuning
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.sweep.study import Study
from skeleton_lab.utils import locks
from skeleton_lab.utils.cli import Parser

LOCK = ".sweep.lock"


def _parser() -> Parser:
    made = Parser(
        description="Train every run that a study's file describes, each in a folder of its own with --resume: what is "
        "finished is skipped, what was interrupted goes on, what fails is listed. Then fuse the streams of each seed.",
    )
    made.add_argument("study", type=Path, metavar="STUDY.yaml", help="rooms, streams, seeds ...: docs/sweep.md")
    made.add_argument("--dry-run", action="store_true", help="print the commands and the hours that they will take")
    made.add_argument("--status", action="store_true", help="print where the runs stand; may be asked at any time")
    made.add_argument("--trust-code", action="store_true", help="for every run: see --trust-code of train")
    return made


def program(argv: Sequence[str] | None = None) -> int:
    """Raises ``LabError`` for what the user can put right."""
    options = _parser().parse_args(argv)
    asked = study.read(options.study)
    found = runs.of(asked, options.trust_code)
    if options.status:
        print("\n".join(_lines(asked, found, _with_queue(asked, found))))
        return 0
    if options.dry_run:
        return _dry(asked, found)
    return explained(lambda: _sweep(asked, found))


def _sweep(asked: Study, found: Sequence[Run]) -> int:
    _prepare(asked)
    with locks.locked(asked.out / LOCK, lambda who: UsageError(
        f"{asked.path}: another sweep is at work in {asked.out}{who}; --status shows where it stands"
    )):  # fmt: skip
        signum = _work(asked, found)
        if not signum:
            return _finish(asked, found)
        on = "jobs go on; the same command watches them" if asked.engine == "submitit" else "the same command goes on"
        print(f"stopped by {signal.Signals(signum).name}; {on}", file=sys.stderr)
        return 128 + signum


def states_of(asked: Study, found: Sequence[Run]) -> list[State]:
    return [state.of(asked, run) for run in found]


def _with_queue(asked: Study, found: Sequence[Run]) -> list[State]:
    """The states; runs whose jobs a cluster has are running."""
    now = states_of(asked, found)
    names = cluster.queued(asked) if asked.engine == "submitit" else set()
    return [
        replace(each, kind=state.RUNNING, why="in the queue") if run.name in names and each.to_do else each
        for run, each in zip(found, now)
    ]


def _dry(asked: Study, found: Sequence[Run]) -> int:
    now = states_of(asked, found)
    to_do = [run for run, each in zip(found, now) if each.to_do]
    places = 1 if asked.engine == "submitit" else _at_once(asked, to_do)
    print("\n".join(table.commands(found, now, forecast.of(found, now), places)))
    if asked.engine == "ray" and to_do:
        print("# at most: ASHA goes on with the better trials alone")
    return 0


def _at_once(asked: Study, to_do: Sequence[Run]) -> int:
    return tuning.shares(asked, to_do).at_once if asked.engine == "ray" else len(pool.places(asked, to_do))


def _lines(asked: Study, found: Sequence[Run], now: Sequence[State]) -> list[str]:
    """The table; of a search the best trial first."""
    return (ranking.lines if asked.engine == "ray" else table.lines)(found, now)


def _prepare(asked: Study) -> None:
    """UsageError before the work if nothing can be written."""
    try:
        for folder in (asked.out / runs.RUNS, asked.out / state.NOTES):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{asked.path}: out: {asked.out}: no folder can be there: {error.strerror}") from None


def _work(asked: Study, found: Sequence[Run]) -> int:
    """Run what is to do; the number of a signal that ended it, or 0."""
    now = states_of(asked, found)
    state.write_table(asked, found, now)
    to_do = [run for run, each in zip(found, now) if each.to_do or each.kind == state.RUNNING]
    skipped = sum(each.kind in (state.FINISHED, state.STOPPED) for each in now)
    print(f"{asked.path}: {table.counted_runs(len(found))}, {skipped} finished before, {len(to_do)} to do", flush=True)
    if not to_do:
        return 0
    live = table.Live(found, now)

    latest = dict(zip([run.name for run in found], now))

    def told(run: Run, ended: State) -> None:
        live.told(run, ended)
        latest[run.name] = state.of(asked, run)  # all of them, each time that one is told, are minutes for 300 runs
        state.write_table(asked, found, list(latest.values()))

    try:
        if asked.engine == "submitit":
            return cluster.run_all(asked, to_do, told, live.tick)
        if asked.engine == "ray":
            return tuning.run_all(asked, found, to_do, told, live.tick)
        return pool.run_all(asked, to_do, pool.places(asked, to_do), told, live.tick)
    finally:
        live.close()


def _finish(asked: Study, found: Sequence[Run]) -> int:
    """The table, the best trial, the fusions, the comparison; 1 where a run has failed or they cannot be compared."""
    from skeleton_lab.compare import program as compare  # here: --help and --dry-run need none of it

    now = states_of(asked, found)
    state.write_table(asked, found, now)
    print("\n".join(_lines(asked, found, now)))
    if asked.engine == "ray":
        print("\n".join(ranking.write(asked.out, found, now)))
    fused = fusion.of(found, now)
    if fused or (asked.out / fusion.FILE).exists():  # that of an earlier sweep is of other runs
        print("\n".join(table.fused(fused, fusion.write(asked.out, fused))))
    finished = [run.folder for run, each in zip(found, now) if each.kind == state.FINISHED]
    tested = [folder for folder in finished if (folder / fusion.EVALUATION).is_file()]
    compared = len(tested) < 2 or compare.main([str(asked.out)]) == 0
    lacking = [run for run, each in zip(found, now) if each.kind not in (state.FINISHED, state.STOPPED)]
    if lacking:
        print(
            f"{len(lacking)} of {table.counted_runs(len(found))} not finished; logs: {asked.out / state.LOGS}",
            file=sys.stderr,
        )
    return FAILURE if lacking or not compared else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status.

    0 all runs are finished and compared, 1 they are not, 2 a mistake, 128 + the number of a signal.
    """
    return guarded(lambda: program(argv))
