"""Opening an archive: which layout it is, by its content alone, and the clips of one split.

Order of the tests: a folder is NW-UCLA or Kinetics by the names in it; a file is told by its first bytes (NPZ, NPY,
HDF5, tar, pickle). What fits no layout exactly is an error that shows the shapes accepted; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import about, column_order, npy_format, scrambled
from skeleton_lab.data.archives.clip_groups import subjects_of
from skeleton_lab.data.archives.clips import Clips, MappedClips
from skeleton_lab.data.archives.labels import class_ids
from skeleton_lab.data.archives.locate import held
from skeleton_lab.data.archives.npy_format import StoredArray
from skeleton_lab.data.archives.packed import BLOCK, PackedClips, Writer, state_of, stored
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import h5, kinetics, npz, nw_ucla, pyskl, safe_pickle
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, ArchiveNotFoundError, UsageError, listing, nearest
from skeleton_lab.skeletons.layouts import Layout

SPLITS = ("train", "test")
MEMBERS = tuple(f"{kind}_{split}" for split in SPLITS for kind in ("x", "y", "name"))  # of NPZ and HDF5
FLAT = {150: (25, 2), 75: (25, 1), 102: (17, 2)}  # columns: joints, persons
JOINTS_5D, PERSONS_5D = (25, 17), 2
UAV_JOINTS = 17
MOST_PERSONS = 5
TAR = (b"\xfd7zXZ\x00", b"\x1f\x8b", b"BZh")  # the compressed ones; a plain tar says so at byte 257
LARGE = 64 << 20  # bytes from which unpacking shows a progress bar


def open_archive(
    path: str | Path,
    split: str,
    *,
    label_path: str | Path | None = None,
    num_class: int | None = None,
    joints: int | None = None,
    layout: str | None = None,
    cache_dir: str | Path | None = None,
    pack: bool = False,
) -> Clips:
    """The clips of one split of an archive in any of the layouts that the lab reads.

    Only headers and labels are read. Arrays that lie in one piece in their file are mapped; others (deflated members,
    JSON, pickles) are unpacked once into a packed store in the cache folder.

    Args:
        path: NPZ (Kaggle (N, T, 150|75|102), or 5-D (N, C, T, V, M)), HDF5 with the same members, NPY, NW-UCLA
            folder or tar, PYSKL pickle, folder of Kinetics-skeleton JSON, or a folder that holds one of the files.
        split: "train" or "test". NPY files and Kinetics folders hold one split, whatever it is called.
        label_path: the labels of an NPY file (pickled (names, labels), or an array) or of a Kinetics folder.
        num_class: labels must be below it.
        joints: joints of the graph. By default those of the skeleton that the archive says (``about``), else 25 for
            flat files, 25 or 17 for 5-D NPZ, any for NPY.
        layout: "kaggle" or "5d" where the shape alone should not decide ("5d" switches off the search for scrambled
            columns); "scrambled-vcm|cvm" and "repair-vcm|cvm", see ``orders``; "pyskl:<division>[:raw]" picks xsub,
            xview, 1 ... of a PYSKL pickle and, with raw, leaves out the centring on joint 1.
        cache_dir: where to unpack, by default $SKELETON_LAB_CACHE or ~/.cache/skeleton_lab.
        pack: unpack a mappable array too: about a sixth of the bytes, for archives on slow disks.

    Raises:
        ArchiveNotFoundError: the path does not exist. ArchiveKeyError: a member is missing.
        ArchiveError: anything else about the content. UsageError: unknown split or layout.
    """
    given, path = path, Path(path)
    if split not in SPLITS:
        raise UsageError(f"split '{split}': choose 'train' or 'test'.{nearest(str(split), SPLITS)}")
    if not path.exists():
        raise ArchiveNotFoundError(
            f"archive {given} does not exist (looked for {path.absolute()}); in a container, is its folder mounted?"
        )
    path = held(path)
    if path.is_dir():
        clips = _folder(path, split, label_path, layout, cache_dir)
    else:
        clips = _file(path, split, label_path, joints, layout, cache_dir, pack)
    if num_class is not None:
        where = f"{path}: y_{split}" if clips.layout in ("kaggle", "5d") else str(label_path or path)
        class_ids(clips.labels, where, num_class, clips.names)
    return clips


def _folder(path: Path, split: str, label_path: str | Path | None, layout: str | None, cache_dir) -> Clips:
    with parsing(path):
        names = [p.name for p in path.iterdir() if p.suffix == ".json"]
    if any(nw_ucla.FILE_NAME.fullmatch(name) for name in names):
        _only_layout(path, layout, "nw-ucla")
        return nw_ucla.open_ucla(path, split, cache_dir)
    if names:
        _only_layout(path, layout, "kinetics")
        return kinetics.open_kinetics(path, label_path, cache_dir)
    below = sorted(p.name for p in path.iterdir()) if path.is_dir() else []
    more = f" and {len(below) - 5} more" if len(below) > 5 else ""
    raise ArchiveError(
        f"folder {path} is no archive: it holds no .json files of NW-UCLA (aNN_sNN_eNN_vNN.json) or Kinetics; "
        f"it holds {', '.join(below[:5]) or 'nothing'}{more}"
    )


def _file(path: Path, split: str, label_path, joints: int | None, layout: str | None, cache_dir, pack: bool) -> Clips:
    with parsing(path), open(path, "rb") as file:
        start = file.read(512)
    if not start:
        raise ArchiveError(f"{path} is empty (0 bytes)")
    if start.startswith(npz.MAGIC):
        return _members(npz.Npz(path), split, joints, layout, cache_dir, pack)
    if start.startswith(h5.MAGIC):
        return _members(h5.H5(path), split, joints, layout, cache_dir, pack)
    if start.startswith(npy_format.MAGIC):
        return _npy(path, label_path, joints, layout, cache_dir, pack)
    if start.startswith(TAR) or start[257:262] == b"ustar":
        _only_layout(path, layout, "nw-ucla")
        return nw_ucla.open_ucla(path, split, cache_dir)
    if start[:1] in pyskl.STARTS:
        return pyskl.open_pyskl(path, split, layout, cache_dir)
    raise ArchiveError(f"{path} is in no known format: expected NPZ, NPY, HDF5, a PYSKL pickle, or the NW-UCLA tar")


def _only_layout(path: Path, layout: str | None, found: str) -> None:
    if layout not in (None, found):
        raise UsageError(f"layout '{layout}' does not fit {path}, which is {found}")


def _members(file: npz.Npz | h5.H5, split: str, joints: int | None, layout: str | None, cache_dir, pack: bool) -> Clips:
    """NPZ or HDF5: x_<split>, y_<split>, and maybe name_<split>."""
    wanted = (f"x_{split}", f"y_{split}")
    keys = file.keys()
    missing = [key for key in wanted if key not in keys]
    if missing:
        raise ArchiveKeyError(
            f"{file.path} lacks {' and '.join(missing)}; wanted {', '.join(wanted)}; it has {listing(keys)}"
        )
    x, y = (file.array(key) for key in wanted)
    skeleton = about.skeleton_in(file)
    if skeleton is not None:
        _fits(skeleton, x, joints)
    if len(x.shape) == 3:
        shape = _flat_shape(x, skeleton.V if skeleton else joints)
    elif len(x.shape) == 5:
        shape = _five_shape(x, (skeleton.V,) if skeleton else (joints,) if joints else JOINTS_5D, PERSONS_5D)
    else:
        raise _shape_error(x)
    _usable(x)
    if not y.shape or y.shape[0] != x.shape[0]:
        raise ArchiveError(f"{file.path}: {wanted[0]} has {x.shape[0]} clips, {wanted[1]} has shape {y.shape}")
    if y.dtype.kind not in "biuf" or len(y.shape) > 2:  # before anything is read
        class_ids(np.empty((0,) * len(y.shape), y.dtype), f"{file.path}: {wanted[1]}")
    labels, columns = class_ids(y.read(), f"{file.path}: {wanted[1]}")
    names = _names(file, f"name_{split}", len(labels)) if f"name_{split}" in keys else None
    told = dict(num_class=columns, names=names, subjects=subjects_of(names))
    kind = "kaggle" if len(x.shape) == 3 else "5d"
    clips = _array(x, kind, shape, labels, layout, cache_dir, pack, told, unknown=skeleton is None)
    if skeleton is not None:
        about.read(file, split, clips)
    others = [key for key in keys if key not in MEMBERS and (skeleton is None or key not in about.MEMBERS)]
    clips.unread = [f"members {listing(others)}"] if others else []
    return clips


def _fits(skeleton: Layout, x: StoredArray, joints: int | None) -> None:
    if len(x.shape) == 5 and x.shape[3] != skeleton.V:
        raise ArchiveError(f"{x.path}: {x.key} has {x.shape[3]} joints, its skeleton {skeleton.name} has {skeleton.V}")
    if joints not in (None, skeleton.V):
        raise ArchiveError(
            f"{x.path} is of the skeleton {skeleton.name}, which has {skeleton.V} joints; asked for are {joints}: a "
            f"network for it is made with --skeleton {skeleton.name}"
        )


def _flat_shape(x: StoredArray, joints: int | None) -> tuple[int, int, int, int]:
    expected = joints or 25
    V, M = FLAT.get(x.shape[2], (0, 0))
    if expected != V:
        raise _shape_error(x, f"for {expected} joints; ")
    return 3, x.shape[1], V, M


def _five_shape(x: StoredArray, joints: Sequence[int] | None, persons: int) -> tuple[int, int, int, int]:
    _, C, T, V, M = x.shape
    if C not in (2, 3) or not 1 <= M <= persons or (joints is not None and V not in joints):
        raise _shape_error(x, f"for {' or '.join(map(str, joints))} joints; " if joints else "")
    return C, T, V, M


def _shape_error(x: StoredArray, expected: str = "") -> ArchiveError:
    return ArchiveError(
        f"{x.path}: {x.key} has shape {x.shape}, which does not fit: {expected}accepted are (N, T, 150) and (N, T, 75) "
        "of 25 joints, (N, T, 102) of 17, and (N, C=2 or 3, T, V, M) in exactly that order of axes"
    )


def _usable(x: StoredArray) -> None:
    if x.dtype.kind != "f":
        raise ArchiveError(f"{x.path}: {x.key} has type {x.dtype}; coordinates are floating point numbers")
    if not all(x.shape):
        what = "clips" if x.shape[0] == 0 else "frames"
        raise ArchiveError(f"{x.path}: {x.key} has shape {x.shape}: it holds no {what}")


def _names(file: npz.Npz | h5.H5, key: str, count: int) -> list[str]:
    array = file.array(key)
    if array.shape != (count,) or array.dtype.kind not in "US":
        raise ArchiveError(f"{file.path}: {key} has shape {array.shape}, type {array.dtype}; expected {count} names")
    with parsing(file.path, key):
        return array.read().astype(str).tolist()


def _npy(path: Path, label_path, joints: int | None, layout: str | None, cache_dir, pack: bool) -> Clips:
    if label_path is None:
        raise ArchiveError(f"{path} is a .npy file, which has no labels: give label_path (.pkl or .npy) as well")
    x = npy_format.open_npy(path)
    if len(x.shape) != 5:
        raise _shape_error(x)
    shape = _five_shape(x, (joints,) if joints else None, MOST_PERSONS)
    _usable(x)
    names, labels, columns = _label_file(Path(label_path))
    if len(labels) != x.shape[0]:
        raise ArchiveError(f"{path} has {x.shape[0]} clips, {label_path} has {len(labels)} labels")
    told = dict(num_class=columns, names=names, subjects=subjects_of(names))
    return _array(x, "npy", shape, labels, layout, cache_dir, pack, told)


def _label_file(path: Path) -> tuple[list[str] | None, np.ndarray, int | None]:
    """Names (None in a .npy), class ids and columns of a one-hot array."""
    if not path.exists():
        raise ArchiveNotFoundError(f"label file {path} does not exist (looked for {path.absolute()})")
    with parsing(path), open(path, "rb") as file:
        start = file.read(6)
    if start == npy_format.MAGIC:
        ids, columns = class_ids(npy_format.open_npy(path).read(), str(path))
        return None, ids, columns
    pair = safe_pickle.load(path)
    fits = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not fits or not all(isinstance(part, (tuple, list, np.ndarray)) for part in pair):
        raise ArchiveError(f"{path} is not a pickled pair (names, labels)")
    with parsing(path):
        texts = [safe_pickle.text(name) for name in pair[0]]
        array = safe_pickle.numbers(pair[1])
    if len(texts) != len(array):
        raise ArchiveError(f"{path} has {len(texts)} names and {len(array)} labels")
    array = array if len(array) else np.empty(0, np.int64)
    ids, columns = class_ids(array, str(path))
    return texts, ids, columns


def _array(
    x: StoredArray,
    kind: str,
    shape: tuple[int, int, int, int],
    labels: np.ndarray,
    layout: str | None,
    cache_dir,
    pack: bool,
    told: dict,
    unknown: bool = True,
) -> Clips:
    """The clips of one array: mapped where it lies in one piece, else packed; ``unknown``: who wrote them."""
    order = column_order.choose(layout, len(x.shape))
    if order is not None:
        told["order"] = column_order.fitting(order, x, shape)
    clips: Clips
    if x.mappable and not pack:
        clips = MappedClips(x, kind, shape, labels, **told)
    else:
        store = stored(
            x.path, x.key, state_of([x.path]), lambda writer: _fill(writer, x, shape),
            cache_dir=cache_dir, total=x.shape[0], show=x.nbytes > LARGE,
        )  # fmt: skip
        clips = PackedClips(x.path, kind, store, labels, key=x.key, **told)
    about.by_format(clips)
    if len(x.shape) == 5 and layout is None and unknown:
        scrambled.refuse_scrambled(clips)
    return clips


def _fill(writer: Writer, x: StoredArray, shape: tuple[int, int, int, int]):
    C, T, V, M = shape
    size = max(1, min(BLOCK, (BLOCK * 300 * 150) // (C * T * V * M)))
    for block in x.blocks(size):
        if block.ndim == 3:
            writer.add(block.reshape(-1, T, M, V, C))
        else:
            writer.add(block.transpose(0, 2, 4, 3, 1))
    return shape, {}
