"""What goes wrong while foreign bytes are read, told with the name of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, LabError, one_line
from skeleton_lab.utils.atomic import refuse_special


@contextmanager
def parsing(path: Path | str, key: str | None = None) -> Iterator[None]:
    """Whatever a parser makes of foreign bytes becomes an ``ArchiveError`` that names the file (and the member).

    Damaged bytes make ``zipfile``, ``zlib``, ``pickle``, ``json``, ``tarfile`` and HDF5 raise nearly any exception,
    hence the broad clause; keep the block small. A pipe, device or socket is refused before the block: opening it
    could wait for ever.
    """
    where = f"{path}: {key}" if key else str(path)
    refuse_special(path)
    try:
        yield
    except LabError:
        raise
    except MemoryError as error:
        raise ArchiveError(f"{where}: there is not enough memory to read it, or it is damaged") from error
    except ObjectArray as error:
        raise ArchiveError(f"{where} is {error}") from error
    except FileNotFoundError as error:
        raise ArchiveNotFoundError(f"{path} does not exist (looked for {Path(path).absolute()})") from error
    except OSError as error:
        raise ArchiveError(f"{where} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        said = f"{type(error).__name__}: {one_line(error)}"
        raise ArchiveError(f"{where} is damaged or in no known format ({said})") from error


class ObjectArray(ValueError):
    """An array of Python objects: nothing is damaged, but reading it would mean to unpickle it."""

    def __init__(self) -> None:
        super().__init__(
            "an array of Python objects, which only a pickle can hold and which is not read; save it as plain numbers "
            "or text, for labels np.array(labels.tolist(), dtype=np.int64)"
        )
