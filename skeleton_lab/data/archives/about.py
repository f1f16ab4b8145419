"""What an archive says of its clips besides coordinates and labels: the skeleton, units, scores, pictures, class names.

Published formats say it by what they are (``by_format``).  Archives of one's own are 5-D NPZ or HDF5 files with more
members, all of text or whole numbers:

    skeleton        the name of a known layout, or the YAML text of one's own
    channels        "xyz", "xy" or "xys" (s: the score of a joint)
    units           of the coordinates, one of ``skeletons.layouts.UNITS``
    class_names     (K,) texts, by label
    img_shape_train, img_shape_test     (N, 2) height and width of each clip's picture in pixels
    subject_train, subject_test         (N,) texts

Only ``skeleton`` must be there for the others to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError, UsageError, listing, one_line
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout

CHANNELS = {"xyz": (3, False), "xy": (2, False), "xys": (3, True)}  # coordinates and score together, whether scored
OF_ALL = ("skeleton", "channels", "units", "class_names")
OF_A_SPLIT = ("img_shape", "subject")
MEMBERS = (*OF_ALL, *(f"{kind}_{split}" for kind in OF_A_SPLIT for split in ("train", "test")))
FORMATS = {(25, 3): "ntu25", (20, 3): "ucla20", (18, 3): "coco18", (18, 2): "coco18"}  # by joints and channels
PICTURES = {17: "coco17", 18: "coco18", 21: "hand21", 25: "body25", 26: "halpe26", 133: "wholebody133"}  # of pickles
LONGEST = 100_000  # characters of a skeleton's text


def by_format(clips: Clips) -> None:
    """What a published format says by its joints and channels, ``None`` where it leaves that open.

    Three coordinates of 25 or 20 joints are NTU RGB+D and NW-UCLA in metres; 18 joints are Kinetics-skeleton: shares of
    the picture and a score.
    """
    name = FORMATS.get((clips.V, clips.C))
    if clips.layout == "kaggle" and clips.V == 17:
        name = "uav17"
    _set(clips, layouts.layout(name) if name else None)
    if name == "coco18":
        clips.units = "image"


def in_pickle(content: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    """What the dict of a PYSKL pickle says besides splits and annotations, for the index of its packed store.

    Raises:
        ArchiveError: "skeleton", "units" or "class_names" is there and not what it should be.
    """
    made = {}
    with parsing(path, "skeleton"):
        if (text := content.get("skeleton")) is not None:
            made["skeleton"] = np.array(written(skeleton_of(str(text)[:LONGEST], f"{path}: skeleton")))
    with parsing(path, "class_names"):
        if (names := content.get("class_names")) is not None:
            if isinstance(names, (str, bytes)):
                raise ArchiveError(f"{path}: class_names is one text; it is a list of texts")
            made["class_names"] = np.array(shown(names), str)
    if (units := content.get("units")) is not None:
        if units not in layouts.UNITS:
            raise ArchiveError(f"{path}: units is {listing([str(units)])}; it is one of {', '.join(layouts.UNITS)}")
        made["units"] = np.array(units)
    return made


def of_pickle(clips: Clips, index: Mapping[str, np.ndarray]) -> None:
    """What a PYSKL pickle says, by the index of its packed store.

    Unless it says so itself, key points in the picture are COCO's 17 joints and others of the estimators, in pixels and
    with a score; in space they are the Kinect's 25 or 20.

    Raises:
        ArchiveError: its skeleton has another number of joints, or a label has no name.
    """
    flat = bool(index["flat"])
    table = PICTURES if flat else {V: name for (V, C), name in FORMATS.items() if C == 3 and V != 18}
    skeleton = layouts.layout(table[clips.V]) if clips.V in table else None
    if "skeleton" in index:
        skeleton = skeleton_of(str(index["skeleton"]), f"{clips.path}: skeleton")
        if skeleton.V != clips.V:
            raise ArchiveError(
                f"{clips.path}: key points have {clips.V} joints, the skeleton {skeleton.name} {skeleton.V}"
            )
    _set(clips, skeleton)
    clips.scored = flat
    clips.units = str(index["units"]) if "units" in index else "px" if flat else clips.units
    if (index["img_shape"] > 0).all():
        clips.img_shape = index["img_shape"]
    if "class_names" in index:
        clips.class_names = tuple(index["class_names"].tolist())
        clips.num_class = len(clips.class_names)
        if (clips.labels >= clips.num_class).any():
            raise ArchiveError(f"{clips.path}: label {clips.labels.max()} has none of {clips.num_class} class_names")


def _set(clips: Clips, skeleton: Layout | None) -> None:
    clips.skeleton = skeleton
    clips.units = skeleton.units if skeleton else None
    clips.scored = skeleton is not None and skeleton.scored and clips.C - skeleton.dimensions == 1


# --- reading -----------------------------------------------------------------------------------------------------


def skeleton_in(file: Any) -> Layout | None:
    """The skeleton that an open NPZ or HDF5 file says; None without that member.

    Raises:
        ArchiveError: it is no name of a known skeleton, and no YAML text of one.
    """
    if "skeleton" not in file.keys():  # noqa: SIM118  (no dict)
        return None
    return skeleton_of(_text(file, "skeleton"), f"{file.path}: skeleton")


def skeleton_of(text: str, where: str) -> Layout:
    """A layout by its name or by YAML text: never of a file that foreign bytes name.

    Raises:
        ArchiveError: neither.
    """
    text = text.strip()
    try:
        if "\n" in text or ":" in text:
            with parsing(where):
                return layouts.parsed(text, "own", where)
    except UsageError as error:
        raise ArchiveError(str(error)) from None
    if text.endswith(layouts.OWN):
        raise ArchiveError(f"{where} names the file '{text}'; an archive holds the text of that file itself")
    try:
        return layouts.layout(text)
    except UsageError as error:
        raise ArchiveError(f"{where} is no skeleton: {error}") from None


def read(file: Any, split: str, clips: Clips) -> None:
    """Put what an archive with the member ``skeleton`` says on the clips of a split.

    Raises:
        ArchiveError: a member does not fit the coordinates, the labels, or what it should hold.
    """
    skeleton, keys = skeleton_in(file), set(file.keys())
    assert skeleton is not None
    _set(clips, skeleton)
    if "channels" in keys:
        channels = _one_of(file, "channels", CHANNELS)
        count, clips.scored = CHANNELS[channels]
        if count != clips.C:
            raise ArchiveError(f"{file.path}: channels is '{channels}', x_{split} has {clips.C} channels")
    if "units" in keys:
        clips.units = _one_of(file, "units", layouts.UNITS)
    if "class_names" in keys:
        clips.class_names = _class_names(file, f"y_{split}", clips)
        clips.num_class = len(clips.class_names)
    if (key := f"img_shape_{split}") in keys:
        clips.img_shape = _img_shape(file, key, len(clips))
    if (key := f"subject_{split}") in keys:
        clips.subject_names, clips.subjects = _subjects(file, key, len(clips), keys)


def _text(file: Any, key: str) -> str:
    array = file.array(key)
    if array.shape not in ((), (1,)) or array.dtype.kind not in "US":
        raise ArchiveError(f"{file.path}: {key} has shape {array.shape}, type {array.dtype}; it is one text")
    if array.nbytes > 4 * LONGEST:
        raise ArchiveError(f"{file.path}: {key} has {array.nbytes} bytes; a text of {LONGEST} characters is read")
    return _texts(file, key).reshape(-1)[0]


def _texts(file: Any, key: str) -> np.ndarray:
    with parsing(file.path, key):
        return _whole(file.array(key)).astype(str)


def _whole(array: Any) -> np.ndarray:
    """A stored array, also one without an axis."""
    if array.shape:
        return array.read()
    if getattr(array, "text", None) is not None:
        return array.text
    with array.stream() as file:
        return np.frombuffer(file.read(array.dtype.itemsize), array.dtype)


def _one_of(file: Any, key: str, known: Any) -> str:
    word = _text(file, key).strip()
    if word not in known:
        raise ArchiveError(f"{file.path}: {key} is {listing([word])}; it is one of {', '.join(known)}")
    return word


def _class_names(file: Any, labels: str, clips: Clips) -> tuple[str, ...]:
    array = file.array("class_names")
    if len(array.shape) != 1 or array.dtype.kind not in "US":
        raise ArchiveError(f"{file.path}: class_names has shape {array.shape}, type {array.dtype}; it is (K,) texts")
    names = shown(_texts(file, "class_names").tolist())
    highest = (clips.num_class or int(clips.labels.max(initial=-1)) + 1) - 1
    if highest >= len(names) or (clips.num_class and clips.num_class != len(names)):
        raise ArchiveError(f"{file.path}: class_names has {len(names)} names, {labels} has classes up to {highest}")
    return names


def shown(names: Iterable[Any]) -> tuple[str, ...]:
    """Names as logs, pages and pictures can show them: on one line, with escapes for what would steer a terminal."""
    return tuple(one_line(str(name)) for name in names)


def _img_shape(file: Any, key: str, count: int) -> np.ndarray:
    array = file.array(key)
    if array.shape != (count, 2) or array.dtype.kind not in "iu":
        raise ArchiveError(
            f"{file.path}: {key} has shape {array.shape}, type {array.dtype}; it is ({count}, 2) whole numbers, the "
            "height and the width of each clip's picture"
        )
    shapes = array.read().astype(np.int64)
    if (shapes < 1).any():
        row = int((shapes < 1).any(axis=1).argmax())
        raise ArchiveError(f"{file.path}: {key}: row {row} is {shapes[row].tolist()}; a picture has at least one pixel")
    return shapes


def _subjects(file: Any, key: str, count: int, keys: set[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of all subjects of both splits, sorted, and the place of each clip's in them."""
    array = file.array(key)
    if array.shape != (count,) or array.dtype.kind not in "US":
        raise ArchiveError(f"{file.path}: {key} has shape {array.shape}, type {array.dtype}; it is ({count},) texts")
    both = [each for each in ("subject_train", "subject_test") if each in keys]
    names = sorted({name for each in both for name in _texts(file, each).reshape(-1).tolist()})
    return tuple(names), np.searchsorted(names, _texts(file, key)).astype(np.int64)


# --- writing -----------------------------------------------------------------------------------------------------


def members(clips: Mapping[str, Clips], form: str = "5d") -> dict[str, np.ndarray]:
    """The members that say of clips, by split, what their shape and format do not say already; none of published ones.

    Texts of NumPy's own kind, so that nothing needs a pickle.  ``form``: "5d", "kaggle" (columns) or "pyskl".
    """
    first = next(iter(clips.values()))
    if first.skeleton is None or not any(_needs_words(part, form) for part in clips.values()):
        return {}
    made = {"skeleton": np.array(written(first.skeleton)), "channels": np.array(channels(first))}
    if first.units is not None:
        made["units"] = np.array(first.units)
    if first.class_names is not None:
        made["class_names"] = np.array(first.class_names, str)
    for split, part in clips.items():
        if part.img_shape is not None:
            made[f"img_shape_{split}"] = np.asarray(part.img_shape, np.int64)
        if part.subject_names is not None and part.subjects is not None:
            made[f"subject_{split}"] = np.array([part.subject_names[k] for k in part.subjects], str)
    return made


def _needs_words(clips: Clips, form: str) -> bool:
    """Whether a plain file of these clips would be read as something else, or as less."""
    plain = Clips(clips.path, form, (clips.C, clips.T, clips.V, clips.M), clips.labels)
    if form == "pyskl":
        of_pickle(plain, {"flat": np.array(clips.scored or clips.C == 2), "img_shape": np.zeros(2)})
    else:
        by_format(plain)
    said, told = ((c.skeleton, c.units, c.scored, c.class_names) for c in (clips, plain))
    return said != told or clips.subject_names is not None or (clips.img_shape is not None and form != "pyskl")


def written(skeleton: Layout) -> str:
    """A known skeleton by its name, one's own as YAML text."""
    return skeleton.name if layouts.known().get(skeleton.name) == skeleton else layouts.as_text(skeleton)


def channels(clips: Clips) -> str:
    """ "xyz", "xy" or "xys"."""
    return next(word for word, kind in CHANNELS.items() if kind == (clips.C, clips.scored))
