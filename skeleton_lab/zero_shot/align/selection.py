"""Which cycle's classifier and scores a run saves: ``--select``.

``best`` is the published habit: the cycle with the highest accuracy on the test sequences of the unseen classes, which
the figure is then computed on as well. ``last`` chooses by nothing. ``val`` takes the cycle that was best on the
unseen classes of the published validation split, in the run of phase val.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skeleton_lab.errors import UsageError
from skeleton_lab.zero_shot.align.settings import Settings, load_json

BEST, LAST, VAL = CHOICES = "best", "last", "val"
HELP = (
    "the cycle whose classifier and scores are saved. best: on the test sequences of the unseen classes themselves, as "
    "published; last: the last; val: the best on the validation classes, by phase val, which runs first (default: best)"
)
WORDS = {
    "ztest": "cycle chosen on the test classes themselves (the published habit), which flatters",
    "validation": "cycle chosen on the validation classes",
    "nothing": "the last cycle, chosen by nothing",
}


def selected_on(select: str, phase: str) -> str:
    """What chose the saved cycle: a key of ``WORDS``."""
    if select == LAST:
        return "nothing"
    return "ztest" if select == BEST and phase == "train" else "validation"


def words(told: dict[str, Any]) -> str:
    """For people, of a ``train.json`` or ``gating_eval.json``."""
    return WORDS.get(str(told.get("selected_on")), "what chose the cycle is not known")


def validated_cycle(folder: Path, settings: Settings, cycles: int) -> int | None:
    """The cycle that phase val found best; None where this run needs none.

    Args:
        folder: ``<wdir>_val/<le>/<tm>``.  cycles: ``--num_cycles`` of this run.

    Raises:
        UsageError: phase val has not finished there, was another experiment, or kept the scores of another cycle.
    """
    if settings.select != VAL or settings.phase != "train":
        return None
    path = folder / "train.json"
    first = "--select val: run train.py --phase val --select val first, with the work dir"
    if not path.is_file():
        raise UsageError(f"{first} {_work_dir(folder, settings)}: there is no {path}")
    told, now = load_json(path), settings.as_json()
    for key in ("variant", "ntu", "ss", "tm", "le", "latent_size", "num_epoch_per_cycle"):
        if told.get(key) != now[key]:
            raise UsageError(f"--select val: {path} is of {key} {told.get(key)}, this run of {now[key]}")
    if not told.get("finished") or told.get("select", BEST) == LAST:
        why = "kept the scores of its last cycle" if told.get("finished") else "has not finished"
        raise UsageError(f"{first} {_work_dir(folder, settings)}: the run in {folder} {why}")
    cycle = told.get("best_cycle")
    if not isinstance(cycle, int) or not 0 <= cycle < cycles:
        raise UsageError(f"--select val: {path} found cycle {cycle} best; --num_cycles {cycles} does not reach it")
    return cycle


def _work_dir(folder: Path, settings: Settings) -> Path:
    return folder.parents[len(Path(settings.encoder).parts)]
