"""The recordings below a folder, and which of them a line of the labels means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError, UsageError, listing
from skeleton_lab.inference.keypoints import estimators, formats

ENDINGS = (  # that recordings have
    ".json", ".jsonl", ".npy", ".npz", ".pkl", ".pickle", ".skeleton", ".skeleton.gz", ".zip", *formats.ENDINGS,
)  # fmt: skip


class Folder:
    """Paths of recordings by their name below ``root``: files with known endings, and folders of frames.

    Args:
        besides: files that are none (the labels, the archive).

    Raises:
        ArchiveNotFoundError, UsageError: there is no such folder.
    """

    def __init__(self, root: Path, besides: tuple[Path, ...] = ()) -> None:
        with parsing(root):
            root.stat()
        if not root.is_dir():
            raise UsageError(f"--input {root} is a file; give the folder of the recordings that the labels name")
        self.root = root
        others = {path.absolute() for path in besides}
        self.paths = {
            path.relative_to(root).as_posix(): path for path in _recordings(root) if path.absolute() not in others
        }
        self._by_stem: dict[str, list[str]] = {}
        for name in self.paths:
            self._by_stem.setdefault(_stem(name), []).append(name)

    def find(self, name: str) -> Path | None:
        """The recording of a line: by its path, or by that without the ending, as of the video that it is from.

        Raises:
            UsageError: several could be meant.
        """
        if name in self.paths:
            return self.paths[name]
        path = self.root / name
        if name not in (".", "..") and path.is_file() and path.resolve().is_relative_to(self.root.resolve()):
            return path  # of another ending; reading it will say what it is
        for stem in dict.fromkeys((name, _stem(name))):
            fitting = self._by_stem.get(stem, [])
            if len(fitting) > 1:
                raise UsageError(f"{name} could be {listing(fitting)} of {self.root}: name the file with its ending")
            if fitting:
                return self.paths[fitting[0]]
        return None


def _stem(name: str) -> str:
    """Without what stands behind the last dot of the file's name: a recording's ending, or a video's."""
    head, slash, tail = name.rpartition("/")
    return head + slash + (tail.rpartition(".")[0] or tail)


def _recordings(root: Path) -> Iterator[Path]:
    """Files that may be recordings, and folders of one JSON file per frame, in order; hidden ones are passed over."""
    for at, folders, files in os.walk(root):
        folder = Path(at)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if folder != root and _is_frames(folder):
            folders[:] = []
            yield folder
            continue
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(ENDINGS) and not _is_table(folder / name):
                yield folder / name


def _is_frames(folder: Path) -> bool:
    try:
        return estimators.is_folder_of_frames(folder)
    except ArchiveError:  # its files are recordings, of which one is damaged: that is said when it is read
        return False


def _is_table(path: Path) -> bool:
    """Whether a CSV file holds something else than DeepLabCut's key points, such as labels."""
    try:
        return path.suffix.lower() == ".csv" and not formats.knows(path)
    except ArchiveError:
        return False
