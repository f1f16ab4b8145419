"""Descriptors of classes, one more source of what a class means: an image network's vector of each, beside texts.

``gen_text_feat.py --ntu 60 --descriptors classes.npz`` writes ``im_60.npy`` beside the texts' features, and ``--tm
lb_im`` puts both side by side. A descriptor must come from elsewhere than the clips: the mean over a class's training
clips does not exist for unseen classes, and the mean over their test clips would show what is to be recognised.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.descriptors.files import Descriptors, open_descriptors
from skeleton_lab.data.archives.ntu_protocol import PATTERN
from skeleton_lab.errors import ArchiveError, UsageError, listing
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.zero_shot.text.sources import texts

MODE = "im"


def of_classes(path: Path, ntu: int, folder: Path | None = None) -> np.ndarray:
    """(ntu, D) float32, a row for each class.

    Args:
        path: as of ``open_descriptors``, named by the classes: by their labels (``drink water``) or as ``A001``; or an
            array (ntu, D) in the order of the classes.
        folder: of the user's own texts, whose labels are the names then.

    Raises:
        UsageError: names are those of clips, or a descriptor is more than one vector. ArchiveError: a class has none,
            or two.
    """
    found = open_descriptors(path)
    if found.names is not None and any(PATTERN.search(name) for name in found.names):
        raise UsageError(
            f"--descriptors {path}: these are descriptors of clips; their mean over a class would show unseen classes "
            "as they are in the test. Give one vector of each class that was made without clips of it"
        )
    if (found.lengths > 1).any():
        many = int((found.lengths > 1).argmax())
        raise UsageError(
            f"--descriptors {path}: {found.shown(many)} has {found.lengths[many]} vectors; give one of each class"
        )
    return np.stack([found.read(entry)[0] for entry in _order(found, ntu, folder)])


def _order(found: Descriptors, ntu: int, folder: Path | None) -> list[int]:
    """The entry of each class."""
    if found.names is None:
        if len(found) != ntu:
            raise ArchiveError(f"{found.path} has {len(found)} rows; --ntu {ntu} classes have one each")
        return list(range(ntu))
    place: dict[str, list[int]] = {}
    for entry, name in enumerate(found.names):
        place.setdefault(_plain(name), []).append(entry)
    labels = texts("lb", ntu, folder)
    keys = [dict.fromkeys((_plain(label), f"a{k + 1:03d}")) for k, label in enumerate(labels)]
    of_class = [[entry for key in both for entry in place.get(key, ())] for both in keys]
    for label, entries in zip(labels, of_class):
        if len(entries) > 1:
            told = listing([found.names[entry] for entry in entries[:2]])
            raise ArchiveError(f"{found.path} has two descriptors of {label}: {told}; which one counts?")
    missing = [label for label, entries in zip(labels, of_class) if not entries]
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise ArchiveError(f"{found.path} has no descriptor of {listing(missing[:4])}{more}, by label or as A001 ...")
    return [entry for entries in of_class for entry in entries]


def _plain(name: str) -> str:
    """A label as files can be called: letters and digits of it."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def write(path: Path, target: Path, ntu: int, folder: Path | None = None) -> Path:
    """Write the features of the mode.

    Raises:
        UsageError: it is there already, or cannot be written; what ``of_classes`` raises.
    """
    if target.is_file():
        raise UsageError(f"{target} is there already; remove it to make it of {path}")
    made = of_classes(path, ntu, folder)
    try:
        return write_atomically(target, lambda file: np.save(file, made))
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror}); --save_dir names another folder") from None
