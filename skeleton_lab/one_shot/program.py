"""``skeleton-lab one-shot ROOM``: NTU RGB+D 120's one-shot accuracy of a network; ``one-shot archive``: its data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import both_splits, class_names
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.one_shot import flags
from skeleton_lab.one_shot.nearest import DISTANCES, classified, confusion
from skeleton_lab.utils import results
from skeleton_lab.utils.atomic import check_output
from skeleton_lab.utils.cli import Parser, check_sizes

ARCHIVE = "archive"  # the word in place of a room
ANSWERS, TABLE = "one_shot.csv", "one_shot.json"


def _parser() -> Parser:
    parser = Parser(
        description="One-shot accuracy on the 20 novel classes of NTU RGB+D 120: every clip gets the class of the "
        "nearest anchor in the feature space of a network that was trained on the other 100 classes. `one-shot "
        "archive --input NTU120_CSub.npz --output FILE` writes an archive to train it on.",
    )
    flags.of_a_network(parser)
    add = parser.add_argument
    add("--distance", choices=DISTANCES, default="cosine", help="between features (default: cosine)")
    add("--allow-leak", action="store_true", help="also with weights whose training saw the novel classes")
    add("--output", type=Path, default=Path("work_dir/one_shot"), metavar="DIR",
        help=f"for {TABLE} and {ANSWERS} (default: work_dir/one_shot)")  # fmt: skip
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, write and say.

    Raises:
        LabError: what the user has to put right.
    """
    results.check_folder(options.output)
    from skeleton_lab.one_shot import embedding, ntu120

    with embedding.opened(options) as network:
        if not options.allow_leak:
            ntu120.check_unseen(network.options, Path(network.options.config))
        parts = both_splits.open_source(options.archive, layout=options.layout)
        rows = ntu120.novel(parts, options.archive)
        features = []
        for split in dict.fromkeys(rows.split.tolist()):  # one may hold no clip of these classes
            feeder = network.archive_feeder(options.archive, split, None, rows.row[rows.split == split], options.layout)
            features.append(embedding.features(network, feeder, f"{split} clips"))
        made = np.concatenate(features)
    return _tell(options, rows, made)


def _tell(options: argparse.Namespace, rows: Any, features: np.ndarray) -> int:
    from skeleton_lab.one_shot import ntu120

    tested, names = rows.tested, class_names.ntu()
    labels = rows.label[tested]
    accuracy = {}
    for distance in DISTANCES:
        answers = classified(features[tested], features[rows.anchors], ntu120.NOVEL, distance)
        accuracy[distance] = float((answers == labels).mean())
    answers = classified(features[tested], features[rows.anchors], ntu120.NOVEL, options.distance)
    table = confusion(labels, answers, ntu120.NOVEL)
    each = table.diagonal() / table.sum(1)
    shown = [ntu120.shown(label, names) for label in ntu120.NOVEL.tolist()]
    width = max(map(len, shown))
    for name, share, count in zip(shown, each, table.sum(1)):
        print(f"{name:{width}}  {100 * share:6.2f} % of {count}")
    told = ", ".join(f"{100 * share:.2f} % by {distance} distance" for distance, share in accuracy.items())
    print(f"one-shot accuracy on {len(tested)} clips of {len(shown)} novel classes: {told}")
    results.write_json(options.output / TABLE, {
        "room": options.room, "weights": str(options.weights), "archive": str(options.archive),
        "distance": options.distance, "accuracy": accuracy, "mean_class_accuracy": float(each.mean()),
        "clips": len(tested), "classes": shown, "class_accuracy": each.tolist(), "confusion": table.tolist(),
        "anchors": [rows.name[place] for place in rows.anchors],
    })  # fmt: skip
    lines = [(rows.name[place], label, answer) for place, label, answer in zip(tested, labels, answers)]
    results.write_csv(options.output / ANSWERS, ("clip", "label", "answer"), lines)
    print(f"written to {options.output}: {TABLE}, {ANSWERS}")
    return 0


def _archive(argv: Sequence[str]) -> int:
    parser = Parser(description="All clips of the 100 auxiliary classes as training, a fiftieth of them and the novel "
                    "classes as test: train on it with --classes ntu120_one_shot:auxiliary.")  # fmt: skip
    add = parser.add_argument
    add("--input", type=Path, required=True, help="archive of NTU RGB+D 120, both splits")
    add("--output", type=Path, required=True, help="NPZ to write")
    add("--layout", help="of the input, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--every", type=int, default=50, metavar="N", help="each N-th clip of a class is not trained on but watched "
        "(default: 50)")  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(argv)
    check_sizes(options, "every")
    if options.every < 2:
        raise UsageError("--every 1 would leave nothing to train on; 2 or more")
    check_output("--output", options.output, ".npz", options.input)
    from skeleton_lab.one_shot import archive

    train, test = archive.write(
        options.input, options.output, layout=options.layout, every=options.every, show=not options.quiet
    )
    print(f"{options.output}: {train} training clips of the auxiliary classes, {test} test clips")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [ARCHIVE]:
        return guarded(lambda: _archive(words[1:]))
    return guarded(lambda: run(_parser().parse_args(words)))
