"""The clips that a calibration needs: training subjects that were held out, and the test with classes never trained."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.engine.config import class_list
from skeleton_lab.engine.dataloader import check_labels, make_feeder, split_by_subject
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.network import Network


class Parts(NamedTuple):
    """Feeders of the validation and of the whole test, and the classes that were trained on."""

    validation: Any
    test: Any
    classes: np.ndarray
    all_classes: bool  # whether these are all outputs of the network
    subjects: int  # that are held out
    of: int  # subjects of the training split


def check(options: Namespace, config: str) -> None:
    """UsageError where the training held nobody out.

    The clips that a network was trained on are no measure of how sure it may be: it is right in nearly all of them.
    """
    if options.val_split != "subjects":
        raise UsageError(
            f"--config {config}: this training held no subjects out (val_split: {options.val_split}), and neither what "
            "a network was trained on nor the test data may set its temperature; train with --val-split subjects"
        )
    if not options.train_feeder_args or not options.test_feeder_args:
        raise UsageError(f"--config {config} has no train_feeder_args or no test_feeder_args: name a training's")


def parts(network: Network) -> Parts:
    """The validation split exactly as the training drew it, and the test split, of all classes.

    Raises:
        UsageError: what ``split_by_subject`` raises; no clip of the test is of a class that was trained on.
        ArchiveError and its kin: from the feeders.
    """
    options = network.options
    train: Any = make_feeder(options, options.train_feeder_args)
    outputs = network.K
    check_labels(train, outputs, "training")
    train = class_list.only(train, options, outputs, "training")
    subjects = len(np.unique(train.clips.subjects)) if train.clips.subjects is not None else 0
    validation: Any = split_by_subject(options, train)
    test: Any = make_feeder(options, options.test_feeder_args)
    count = (
        outputs if outputs is not None else int(max(train.label.max(), validation.label.max(), test.label.max())) + 1
    )
    validation.repeat = test.repeat = 1
    classes = np.arange(count) if options.classes is None else class_list.parse(options.classes)
    if not np.isin(test.label, classes).any():
        raise UsageError("the test data holds no clip of a class that was trained on")
    held = len(np.unique(validation.clips.subjects))
    return Parts(validation, test, classes, len(classes) == count, held, subjects)
