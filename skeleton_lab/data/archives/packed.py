"""The packed store: every frame that holds something, once, in a folder of the cache that is mapped when used.

    rows.f32    (F+1, V*C) float32: the frames of all persons of all clips one after the other; the last row is zero
    index.npz   off (N, M) int64: first row of person m of clip i; -1 without that person; equal to off[i, 0] where
                the person repeats person 0 (one-person clips of NTU 120). n, e (N,): valid count and stored length.
                shape: C, T, V, M. And what else the reader wants to keep (names, labels ...).

Frame t of clip i is row ``off + t`` if ``t < e``, else the zero row. A store is built in a ``.partial`` folder under a
lock and renamed when complete, so an interrupted build leaves nothing that could be taken for a store. It is valid
for one path, size, time and sampled content of the archive (``state_of``), and for the user who built it; a newer one
replaces it. Nothing is ever written beside an archive.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.clips import ClipsOfAFile, non_finite
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import LabError
from skeleton_lab.utils.atomic import open_lock
from skeleton_lab.utils.progress import clip_bar

FORMAT = 3
EDGE, PIECE, PIECES = 1 << 20, 16 << 10, 256  # bytes of a file that its digest is of: both ends, and pieces between
SAMPLED = 64  # files of a folder that are looked into
BLOCK = 256  # clips in memory while a padded array is packed: 46 MB of the Kaggle layout


def cache_root(cache_dir: str | Path | None = None) -> Path:
    """The folder of all stores: ``cache_dir``, else $SKELETON_LAB_CACHE, else ~/.cache/skeleton_lab.

    Where the home folder cannot be written (a container under a foreign user id), a private folder in the temporary
    directory takes its place.

    Raises:
        LabError: a folder that was asked for cannot be made or written.
    """
    asked = cache_dir or os.environ.get("SKELETON_LAB_CACHE")
    home = os.path.expanduser("~")  # noqa: PTH111  (Path.home() raises for a user id without an entry)
    places = [Path(asked)] if asked else [
        Path(home, ".cache", "skeleton_lab"),
        Path(tempfile.gettempdir(), f"skeleton_lab-{os.getuid()}"),
    ]  # fmt: skip
    problem = ""
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(place, os.W_OK | os.X_OK) and (asked or place.lstat().st_uid == os.getuid()):
                return place.absolute()
            problem = problem or f"{place} is not writable"
        except OSError as error:
            problem = problem or f"{place}: {error.strerror}"
    raise LabError(f"no folder for unpacked archives ({problem}); set SKELETON_LAB_CACHE to one with room for them")


class Writer:
    """Builds one store; ``add`` takes clips, ``finish`` closes it."""

    def __init__(self, folder: Path, source: Path, key: str, total: int | None, show: bool):
        self._folder, self._source, self._key = folder, source, key
        self._rows = open(folder / "rows.f32", "wb", buffering=1 << 20)  # noqa: SIM115  (closed by finish or close)
        self._count = 0
        self._off: list[list[int]] = []
        self._n: list[int] = []
        self._e: list[int] = []
        self._width = 0
        self._bar = clip_bar(total, f"unpacking {source.name}", show=show)

    @property
    def longest(self) -> int:
        """Frames of the longest clip so far, at least 1."""
        return max([1, *self._e])

    def add(self, x: np.ndarray, name: str | None = None) -> None:
        """Append clips (B, T, M, V, C), zero where there is nothing; ``name`` is for messages.

        Raises:
            ArchiveError: a coordinate is NaN, infinite or beyond float32.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.ascontiguousarray(x, np.float32)
        finite = np.isfinite(x).all(axis=(2, 3, 4))
        if not finite.all():
            clip, frame = np.argwhere(~finite)[0]
            raise non_finite(self._source, self._key, name or len(self._off) + int(clip), int(frame))
        self._width = x.shape[3] * x.shape[4]
        used = x.any(axis=(3, 4))  # (B, T, M)
        for clip, frames, persons in zip(x, used.any(axis=2), used.any(axis=1)):
            self._append(clip, np.flatnonzero(frames), persons)
        self._bar.update(len(x))

    def _append(self, clip: np.ndarray, frames: np.ndarray, persons: np.ndarray) -> None:
        e = int(frames[-1]) + 1 if len(frames) else 0
        off = [-1] * clip.shape[1]
        for m in np.flatnonzero(persons):
            if m and persons[0] and np.array_equal(clip[:e, m], clip[:e, 0]):
                off[m] = off[0]
                continue
            off[m] = self._count
            self._rows.write(np.ascontiguousarray(clip[:e, m]).data)
            self._count += e
        self._off.append(off)
        self._n.append(len(frames))
        self._e.append(e)

    def finish(self, shape: tuple[int, int, int, int], extra: dict[str, np.ndarray]) -> None:
        """Write the zero row and the index; ``shape`` is C, T, V, M."""
        self._rows.write(np.zeros(self._width, np.float32).data)
        _flush(self._rows)
        with open(self._folder / "index.npz", "wb") as file:
            off = np.array(self._off, np.int64).reshape(len(self._off), shape[3])
            n, e = np.array(self._n, np.int64), np.array(self._e, np.int64)
            np.savez(file, off=off, n=n, e=e, shape=np.array(shape), rows=np.array(self._count), **extra)
            _flush(file)

    def close(self) -> None:
        self._bar.close()
        self._rows.close()


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())


Fill = Callable[[Writer], tuple[tuple[int, int, int, int], dict[str, np.ndarray]]]


def stored(
    source: Path,
    key: str,
    state: object,
    fill: Fill,
    *,
    cache_dir: str | Path | None = None,
    total: int | None = None,
    show: bool = False,
) -> tuple[Path, dict[str, np.ndarray]]:
    """The store of ``key`` of ``source``, built by ``fill`` unless there is a valid one; its folder and its index.

    ``state`` (``state_of``; anything JSON can hold) tells whether the source is still the same.
    ``fill`` adds all clips to the writer and returns (C, T, V, M) and the extra arrays of the index.

    Raises:
        LabError: the cache cannot be written, or is full; what ``fill`` raises about the archive.
    """
    root = cache_root(cache_dir)
    identity = _digest([os.fsdecode(source.absolute()), key, os.getuid()])
    stem = re.sub(r"[^\w.-]+", "_", f"{source.name}-{key}")[:60].strip("_-")
    folder = root / f"{stem}-{identity}-{_digest([state, FORMAT])}"
    try:
        index = _index(folder)
        if index is None:
            with _lock(root / f"{stem}-{identity}.lock"):
                index = _index(folder)  # another process may have built it meanwhile
                if index is None:
                    _build(folder, f"{stem}-{identity}-", source, key, fill, total, show)
                    index = _index(folder)
    except LabError:  # about the archive; that a file of it is missing is an OSError too
        raise
    except OSError as error:
        needs = "set SKELETON_LAB_CACHE to a folder with more room"
        raise LabError(f"unpacking {source} into {root} failed: {error.strerror or error}; {needs}") from error
    if index is None:
        raise LabError(f"the unpacked copy {folder} of {source} cannot be read back; delete it and try again")
    return folder, index


def _build(folder: Path, begins: str, source: Path, key: str, fill: Fill, total: int | None, show: bool) -> None:
    root = folder.parent
    for old in root.glob(f"{begins}*"):  # of an older state of the archive, or left by a killed build: we hold the lock
        shutil.rmtree(old, ignore_errors=True)
    if os.path.lexists(folder):
        raise LabError(f"{folder} is in the way of the unpacked copy of {source} and not yours: set SKELETON_LAB_CACHE")
    partial = Path(tempfile.mkdtemp(prefix=begins, suffix=".partial", dir=root))
    try:
        writer = Writer(partial, source, key, total, show)
        try:
            writer.finish(*fill(writer))
        finally:
            with contextlib.suppress(OSError):  # a full disk has been reported by finish
                writer.close()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def state_of(files: Sequence[Path]) -> list:
    """What tells that the files of a source are still the same: names, sizes, times, and digests of their content.

    A digest is of both ends of a file and of pieces between, all of it up to a few megabytes; of a folder with many
    files some are looked into.

    Raises:
        ArchiveError, ArchiveNotFoundError: a file is gone or cannot be read.
    """
    looked = set(np.linspace(0, len(files) - 1, min(SAMPLED, len(files))).astype(int).tolist())
    state = []
    for number, path in enumerate(files):
        with parsing(path):
            status = path.stat()
            told = sampled_digest(path) if number in looked else ""
        state.append([path.name, status.st_size, status.st_mtime_ns, told])
    return state


def sampled_digest(path: Path) -> str:
    """Digest of both ends of a file and of ``PIECES`` pieces between them."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for start, length in _pieces(size):
            digest.update(os.pread(file.fileno(), length, start))
    return digest.hexdigest()[:32]


def _pieces(size: int) -> list[tuple[int, int]]:
    if size <= 2 * EDGE + PIECES * PIECE:
        return [(0, size)]
    starts = np.linspace(EDGE, size - EDGE - PIECE, PIECES).astype(np.int64).tolist()
    return [(0, EDGE), *((start, PIECE) for start in starts), (size - EDGE, EDGE)]


def _index(folder: Path) -> dict[str, np.ndarray] | None:
    """The index of a complete store of this user, else None."""
    try:
        if not all(map(_own, (folder, folder / "index.npz", folder / "rows.f32"))):
            return None
        with np.load(folder / "index.npz", allow_pickle=False) as file:
            index = dict(file)
        C, _, V, _ = index["shape"]
        expected = (int(index["rows"]) + 1) * int(V * C) * 4
        return index if (folder / "rows.f32").stat().st_size == expected else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception:  # a damaged store is as good as none: it is built again
        return None


def _own(path: Path) -> bool:
    """Whether ``path`` is no link and belongs to this user: what others leave in a shared cache is not believed.

    Some network and FAT file systems give all files one owner; there it is the one that a new file gets.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return False
    if status.st_uid == os.getuid():
        return True
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            return os.fstat(probe.fileno()).st_uid == status.st_uid
    except OSError:
        return False


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One builder at a time; the others wait and then find the store. The system frees a killed process's lock."""
    import fcntl

    with open_lock(path) as file:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class PackedClips(ClipsOfAFile):
    """Clips of a packed store; a batch is one ``np.take`` of rows."""

    def __init__(
        self, path: Path, layout: str, store: tuple[Path, dict[str, np.ndarray]], labels: np.ndarray, **kwargs
    ):
        self._folder, index = store
        C, T, V, M = (int(k) for k in index["shape"])
        super().__init__(path, layout, (C, T, V, M), labels, **kwargs)
        self._off, self._n, self._e, self._zero = index["off"], index["n"], index["e"], int(index["rows"])
        self._open()

    def _open(self) -> None:
        shape = (self._zero + 1, self.V * self.C)
        self._rows = np.memmap(self._folder / "rows.f32", np.float32, "r", 0, shape).view(np.ndarray)

    def _lengths(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._n[at], self._e[at]

    def _gather(self, at: np.ndarray, frames: np.ndarray) -> np.ndarray:
        B, W = frames.shape
        off = self._off[at][:, None, :]  # (B, 1, M)
        frames = frames[:, :, None]
        rows = off + frames  # (B, W, M)
        rows[(frames < 0) | (frames >= self._e[at][:, None, None]) | (off < 0)] = self._zero
        out = np.empty((B, W, self.M, self.V * self.C), np.float32)
        np.take(self._rows, rows, axis=0, out=out, mode="clip")
        return out.reshape(B, W, self.M, self.V, self.C)
