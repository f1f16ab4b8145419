"""The texts of a class: label (``lb``), action description (``ad``), motion description (``md``).

Labels are spelled as the published features have them. Both descriptions are the lab's own: ``ad`` says what the
action is, as a dictionary would; ``md`` which parts of the body move, and how.
"""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, UsageError
from skeleton_lab.utils.atomic import refuse_special

MODES = ("lb", "ad", "md")
HEADERS = {"lb": "idx,label", "ad": "idx,label", "md": "idx,dcp"}
RESOURCES = Path(__file__).parent / "resources"
COUNTS = (60, 120)


def texts(mode: str, ntu: int, folder: Path | None = None) -> list[str]:
    """The ``ntu`` texts of one mode, row i for class index i.

    Args:
        mode: lb, ad or md.
        ntu: number of classes, 60 or 120.
        folder: where the user's own ``<mode>_<ntu>.csv`` may lie; without it the lab's texts are read.

    Raises:
        ArchiveError: a file is not in the published form ``idx,text``.
        UsageError: another number of classes.
    """
    if ntu not in COUNTS:
        raise UsageError(f"--ntu {ntu}: there are texts for 60 and 120 classes")
    own = folder / f"{mode}_{ntu}.csv" if folder is not None else None
    path = own if own is not None and own.is_file() else RESOURCES / f"{mode}_{max(COUNTS)}.csv"
    found = read_csv(path)
    if len(found) < ntu or (path is own and len(found) != ntu):
        raise ArchiveError(f"{path}: {len(found)} texts; {ntu} are expected, one for each class")
    return found[:ntu]


def read_csv(path: Path) -> list[str]:
    """The second column of a file with one header line and lines ``idx,text``, idx counting from 1.

    Raises:
        ArchiveNotFoundError, ArchiveError: missing, or another form; the line is named.
    """
    refuse_special(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ArchiveNotFoundError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    found = []
    for number, line in enumerate(lines[1:], 1):
        index, _, text = line.partition(",")
        if index.strip() != str(number) or not text.strip():
            raise ArchiveError(f"{path}, line {number + 1}: '{line[:60]}'; expected '{number},<text>'")
        found.append(text.strip())
    return found
