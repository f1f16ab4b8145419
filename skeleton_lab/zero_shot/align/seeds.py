"""Several seeds: a run of each in ``<wdir>/seed_<n>/``, and mean and standard deviation of their figures.

A seed decides the first weights, the batches and noise of the alignment, and the classifier of unseen classes. Features
and logits are the same for all; the spread does not hold that of other trainings of the backbone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.utils.statistics import mean_sd
from skeleton_lab.zero_shot.align import baselines
from skeleton_lab.zero_shot.align.settings import METRICS, SEEDS, load_json, results_folder, save_json, seed_folder

ALIGNED = ("zsl_accuracy", "best_zsl_accuracy", "last_zsl_accuracy")
GATED = ("seen_accuracy", "unseen_accuracy", "h_mean")
TITLES = {
    "zsl_accuracy": "unseen alone", "best_zsl_accuracy": "best on test", "last_zsl_accuracy": "last cycle",
    "seen_accuracy": "seen", "unseen_accuracy": "unseen", "h_mean": "harmonic",
}  # fmt: skip
SHARED = ("variant", "ntu", "ss", "st", "tm", "le", "select", "selected_on", "train_samples", "ztest_samples")
EVALUATED = "gating_eval.json"


def add_flag(parser: argparse.ArgumentParser, text: str = "") -> None:
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED",
                        help=text or "one run per seed, in <wdir>/seed_<SEED>/, and their mean and spread")  # fmt: skip


def check(seeds: Sequence[int]) -> list[int]:
    """UsageError if one is given twice or is none."""
    seeds = list(seeds)
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise UsageError(f"--seeds: {seed} is given twice, which would count one run as two")
        if not 0 <= seed < 2**63:
            raise UsageError(f"--seeds: a seed is a whole number from 0 on, not {seed}")
    return seeds


def each(flags: argparse.Namespace, program: Callable[[argparse.Namespace], int], say: Callable[[str], None]) -> int:
    """Call a program for every seed, with its work dir; stops at the first exit code other than 0."""
    for seed in check(flags.seeds):
        say(f"seed {seed}:")
        one = argparse.Namespace(**{**vars(flags), "seed": seed, "seeds": None})
        one.wdir = seed_folder(flags.wdir, seed)
        if code := program(one):
            return code
    return 0


def spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; None where a value is missing, no deviation of one value alone."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return None, None
    return mean_sd(known)


def written(mean: float | None, deviation: float | None, digits: int = 1) -> str:
    """``43.2 ± 2.1`` of fractions, in percent."""
    if mean is None:
        return "–"
    text = f"{100 * mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {100 * deviation:.{digits}f}"


def summarise(work_dir: Path, encoder: str, modes: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Read the runs of the seeds, write ``<wdir>/<le>/<tm>/seeds.json``, and return it.

    Raises:
        LabError: a run is missing, or the runs are not those of one experiment.
    """
    runs: dict[str, dict[str, Any]] = {}
    found: list[dict[str, Any]] = []
    for seed in seeds:
        folder = results_folder(seed_folder(work_dir, seed), encoder, modes)
        told = load_json(folder / METRICS)
        gated_by = gated(folder, told)
        runs[str(seed)] = {key: told.get(key) for key in (*ALIGNED, "selected_cycle", "finished")}
        runs[str(seed)] |= {key: gated_by.get(key) for key in GATED}
        found.append({**told, "baselines": joined(told, gated_by)})
    for key in (*SHARED, "sequences"):
        if any(told.get(key) != found[0].get(key) for told in found):
            raise LabError(f"{work_dir}: the runs of seeds {', '.join(runs)} differ in {key}; run them all again")
    spreads = {key: spread([run[key] for run in runs.values()]) for key in (*ALIGNED, *GATED)}
    content = {
        "program": "seeds", **{key: found[0].get(key) for key in SHARED}, "seeds": list(seeds),
        "mean": {key: mean for key, (mean, _) in spreads.items()},
        "sd": {key: deviation for key, (_, deviation) in spreads.items()},
        "runs": runs, "baselines": _of_seeds([told["baselines"] for told in found]),
    }  # fmt: skip
    save_json(results_folder(work_dir, encoder, modes) / SEEDS, content)
    return content


def gated(folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    """``gating_eval.json`` of a run; empty before stage 4, and where that is of another cycle than is saved now."""
    found = load_json(folder / EVALUATED) if (folder / EVALUATED).is_file() else {}
    cycles = found.get("selected_cycle"), told.get("selected_cycle")
    return {} if None not in cycles and cycles[0] != cycles[1] else found


def joined(told: dict[str, Any], tested: dict[str, Any]) -> dict[str, Any]:
    """The baselines of ``train.json``, with what ``gating_eval.json`` adds to them."""
    both = told.get("baselines") or {}, tested.get("baselines") or {}
    return {name: {**both[0].get(name, {}), **both[1].get(name, {})} for name in {**both[0], **both[1]}}


def _of_seeds(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Baselines draw nothing; with the gate of each seed, their figures of all classes differ all the same."""
    result: dict[str, Any] = {}
    for name, row in found[0].items():
        spreads = {key: spread([told.get(name, {}).get(key) for told in found]) for key in ("zsl_accuracy", *GATED)}
        result[name] = {
            **row, **{key: mean for key, (mean, _) in spreads.items()},
            "sd": {key: spreads[key][1] for key in spreads},
        }  # fmt: skip
    return result


def table(told: dict[str, Any]) -> str:
    """The summary for a terminal, a row per seed, of the mean, and of each baseline; percent."""
    columns = [key for key in (*ALIGNED, *GATED) if told["mean"].get(key) is not None]
    rows = [["", *(TITLES[key] for key in columns)]]
    rows += [[f"seed {seed}", *(written(run[key], None) for key in columns)] for seed, run in told["runs"].items()]
    rows.append([f"mean of {len(told['seeds'])}", *(written(told["mean"][key], told["sd"][key]) for key in columns)])
    for name, row in told["baselines"].items():
        cells = [written(row.get(key), row["sd"].get(key) or None) for key in columns]
        rows.append([baselines.NAMES.get(name, name), *cells])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
