"""``skeleton-lab few-shot ROOM``: the nearest prototype of K clips a class, the baseline of a few-shot training.

The prototype of a class is the mean feature of its K training clips; a test clip gets the class of the nearest one
(Snell et al. 2017, without their episodic training). Nothing is trained: the network may know other classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import class_names
from skeleton_lab.engine import shots
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.one_shot import flags
from skeleton_lab.one_shot.nearest import DISTANCES, classified, confusion, mean_and_interval, prototypes
from skeleton_lab.utils import results
from skeleton_lab.utils.cli import Parser, check_sizes

TABLE = "few_shot.json"


def _parser() -> Parser:
    parser = Parser(
        description="Accuracy of the nearest prototype on an archive's test clips: the prototype of a class is the "
        "mean feature of K of its training clips, by a network that was trained on other data or other classes. The "
        "first draw takes the clips that `train ROOM --shots K --seed SEED` learns from.",
    )
    flags.of_a_network(parser)
    add = parser.add_argument
    add("--shots", type=int, nargs="+", default=[1, 5, 10], metavar="K", help="clips of each class (default: 1 5 10)")
    add("--draws", type=int, default=20, metavar="N", help="how often they are drawn anew (default: 20)")
    add("--seed", type=int, default=1, help="of the first draw, the next ones count on (default: 1)")
    add("--distance", choices=DISTANCES, default="cosine", help="between features (default: cosine)")
    add("--output", type=Path, default=Path("work_dir/few_shot"), metavar="DIR",
        help=f"for {TABLE} (default: work_dir/few_shot)")  # fmt: skip
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, write and say.

    Raises:
        LabError: what the user has to put right.
    """
    check_sizes(options, "draws")
    if min(options.shots) < 1 or not 0 <= options.seed < 2**32 - options.draws:
        raise UsageError("--shots must be at least 1, and --seed a whole number of 0 or more")
    results.check_folder(options.output)
    from skeleton_lab.one_shot import embedding

    with embedding.opened(options) as network:
        train, test = (embedding.split_of(network, options, split) for split in ("train", "test"))
    strange = np.setdiff1d(test.labels, train.labels)
    if len(strange):
        raise UsageError(f"--archive {options.archive}: test class {strange[0]} has no training clip to be known by")
    names = train.names or class_names.published(int(train.labels.max()) + 1, False)
    content: dict[str, Any] = {
        "room": options.room, "weights": str(options.weights), "archive": str(options.archive), "seed": options.seed,
        "distance": options.distance, "test_clips": len(test.labels), "shots": {},
    }  # fmt: skip
    classes = np.unique(train.labels)
    print(f"{len(test.labels)} test clips of {len(classes)} classes; chance is {100 / len(classes):.2f} %")
    for count in options.shots:
        content["shots"][str(count)] = measured = measure(train, test, count, options)
        accuracy, interval, first = (100 * measured[key] for key in ("accuracy", "interval", "first"))
        print(
            f"{count:4d} clip{'s' * (count != 1):1} a class: {accuracy:6.2f} % +- {interval:.2f} over {options.draws} "
            f"draws, first draw {first:.2f} %"
        )
    content["classes"] = [names[each] if each < len(names) else f"class {each}" for each in classes.tolist()]
    results.write_json(options.output / TABLE, content)
    print(f"written to {options.output}: {TABLE}")
    return 0


def measure(train: Any, test: Any, count: int, options: argparse.Namespace) -> dict[str, Any]:
    """Accuracies (fractions) of ``options.draws`` draws of ``count`` clips of each class.

    Args:
        train, test: ``embedding.Embedded``.

    Returns:
        ``accuracy``, the mean; ``interval``, half of its 95 % interval; ``first``, of the first draw; ``each`` of all;
        ``confusion`` of the first.
    """
    accuracies, first = [], None
    for seed in range(options.seed, options.seed + options.draws):
        rows = shots.drawn(train.labels, count, seed)
        classes, means = prototypes(train.features[rows], train.labels[rows])
        answers = classified(test.features, means, classes, options.distance)
        accuracies.append(float((answers == test.labels).mean()))
        first = confusion(test.labels, answers, classes).tolist() if first is None else first
    mean, interval = mean_and_interval(np.array(accuracies))
    return {"accuracy": mean, "interval": interval, "first": accuracies[0], "each": accuracies, "confusion": first}


def main(argv: Sequence[str] | None = None) -> int:
    return guarded(lambda: run(_parser().parse_args(argv)))
