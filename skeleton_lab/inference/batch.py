"""``predict.py --batch FOLDER``: all recordings below a folder, one after the other, in one table.

Beside the table lies a journal: a line of JSON for every recording that is done, on the disk before the next one
begins. A batch that was interrupted goes on where it was: recordings of the journal are not asked about again unless
their file has changed; a line that a crash has cut is passed over. The table is made of the journal.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeleton_lab.errors import LabError, UsageError, one_line
from skeleton_lab.inference import calibrated, predictions
from skeleton_lab.inference.clips.folder import ENDINGS, Folder
from skeleton_lab.inference.predict import predict
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.utils import json_lines
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.locks import locked
from skeleton_lab.utils.progress import clip_bar

if TYPE_CHECKING:
    from skeleton_lab.inference.feeding import Fed

TABLE, JOURNAL = "predictions.csv", "batch.jsonl"
COLUMNS = ("file", "recording", "label", "who", "first_frame", "last_frame", "begin_s", "end_s",
           *(f"{what}{k}" for k in range(1, predictions.TOP + 1) for what in ("class", "p")),
           "known", "error")  # fmt: skip


class Journal:
    """What is known of the recordings so far, by their names below the folder; the file's lock is held by the caller.

    Args:
        path: of the file, which need not exist. settings: what every prediction of the batch depends on.

    Raises:
        UsageError: it is the journal of other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.entries = path, {}
        lines = list(_lines(path))
        if lines and lines[0].get("settings") != settings:
            before = lines[0].get("settings")
            known = before if isinstance(before, dict) else {}
            other = next((key for key in settings if known.get(key) != settings[key]), "settings")
            raise UsageError(
                f"--output {path.parent} holds a batch with another {other}; give another folder for this one"
            )
        self.entries = {line["name"]: line for line in lines[1:] if "name" in line}
        kept = [{"settings": settings}, *self.entries.values()]
        write_atomically(path, lambda file: file.write("".join(map(_line, kept)).encode()))

    def has(self, name: str, state: list[int]) -> bool:
        """Whether a recording is done, and its file still the same; what could not be read is tried again."""
        entry = self.entries.get(name)
        return entry is not None and entry.get("state") == state and "error" not in entry

    def add(self, name: str, state: list[int], **found: Any) -> None:
        """A recording is done, whatever happens from here on."""
        self.entries[name] = entry = {"name": name, "state": state, **found}
        with open(self.path, "ab") as file:
            file.write(_line(entry).encode())
            file.flush()
            os.fsync(file.fileno())


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; what a crash has cut or damaged is passed over."""
    if not path.is_file():
        return
    yield from json_lines.read(path)[0]


def state(path: Path) -> list[int]:
    """By which it is seen that a recording has changed: bytes and last change, of a folder those of its files."""
    files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    stats = [each.stat() for each in files]
    return [len(files), sum(each.st_size for each in stats), max((each.st_mtime_ns for each in stats), default=0)]


def digest(path: Path) -> str:
    """Of a file's bytes."""
    made = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            made.update(block)
    return made.hexdigest()


def run(
    network: Fed, source: Mapping[str, str], root: Path, wishes: Wishes, names: Path | None, fps: float, output: Path,
    config: str,
) -> list[str]:  # fmt: skip
    """Predict every recording below ``root`` that is not done yet, and write the table.

    Args:
        source: the files that the network comes from, by flag; names: file of the classes' names; output: folder of
            table and journal; config: how messages call the configuration.

    Returns:
        Lines that say what was done.

    Raises:
        UsageError: no recording, the output is that of another batch, another process is at it, or no recording can be
            read: then the reason of the first.
    """
    known = network.calibration
    settings = {
        **{flag: digest(Path(file)) for flag, file in source.items()},
        "calibration": None if known is None else calibrated.statement(known),
        "usual window": network.window_of_recordings, "classes": None if names is None else digest(names), "fps": fps,
        **{f"--{key.replace('_', '-')}": value for key, value in asdict(wishes).items()},
    }  # fmt: skip
    settings = json.loads(json.dumps(settings, default=str))  # as the journal will have it
    inside = output.absolute()
    paths = {name: path for name, path in Folder(root).paths.items() if inside not in path.absolute().parents}
    if not paths:
        raise UsageError(
            f"--batch {root}: there is no recording in it; looked for {', '.join(ENDINGS)} and folders of frames"
        )
    output.mkdir(parents=True, exist_ok=True)
    busy = lambda who: UsageError(f"--output {output}: another process{who} is at this batch")  # noqa: E731
    with locked(output / f".{JOURNAL}.lock", busy):
        journal = Journal(output / JOURNAL, settings)
        before = sum(journal.has(name, state(path)) for name, path in paths.items())
        try:
            _predict_all(network, journal, paths, wishes, names, fps, config)
        finally:  # also of an interrupted batch
            _write_table(journal, paths, output / TABLE)
    return list(_said(journal, paths, before, root))


def _predict_all(
    network: Fed, journal: Journal, paths: dict[str, Path], wishes: Wishes, names: Path | None, fps: float,
    config: str,
) -> None:  # fmt: skip
    with clip_bar(len(paths), "batch", unit=" recordings") as bar:
        for name, path in paths.items():
            now = state(path)
            if not journal.has(name, now):
                try:
                    journal.add(name, now, clips=_predicted(network, path, wishes, names, fps, config))
                except (LabError, OSError) as error:
                    journal.add(name, now, error=one_line(error))
            bar.update()


def _predicted(network: Fed, path: Path, wishes: Wishes, names: Path | None, fps: float, config: str) -> list[dict]:
    """The clips of one file as ``predictions.as_json`` has them."""
    answer = predict(network, path, wishes, config)
    told = network.class_names or answer.recordings.class_names
    classes = predictions.class_names(len(answer.rows[0].logits), network.ucla, names, told)
    return predictions.as_json(answer.recordings, answer.rows, classes, fps, {})["clips"]


def _write_table(journal: Journal, paths: Sequence[str] | dict[str, Path], path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for name in paths:
        writer.writerows(_rows(name, journal.entries.get(name, {})))
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def _rows(name: str, entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One for each window and person; of a recording that could not be read one with the reason."""
    if "error" in entry:
        yield {"file": name, "error": entry["error"]}
    for clip in entry.get("clips", ()):
        for window in clip["windows"]:
            best = window["top"]
            yield {
                "file": name, "recording": clip["name"], "label": clip.get("label_name") or clip.get("label", ""),
                **{key: window[key] for key in COLUMNS[3:8]},
                **{f"class{k}": each["name"] for k, each in enumerate(best, 1)},
                **{f"p{k}": each["probability"] for k, each in enumerate(best, 1)},
                "known": {True: "yes", False: "perhaps not"}.get(window.get("known"), ""),
            }  # fmt: skip


def _said(journal: Journal, paths: dict[str, Path], before: int, root: Path) -> Iterator[str]:
    failed = {name: journal.entries[name]["error"] for name in paths if "error" in journal.entries[name]}
    if len(failed) == len(paths):
        raise UsageError(
            f"--batch {root}: none of its {len(paths)} recordings can be read; {next(iter(failed.values()))}"
        )
    earlier = f", {before} of them earlier" if before else ""
    yield f"{len(paths) - len(failed)} of {len(paths)} recordings are done{earlier}"
    if failed:
        name, reason = next(iter(failed.items()))
        more = f" ({len(failed) - 1} more in the column error)" if len(failed) > 1 else ""
        yield f"not read: {one_line(name)}: {reason}{more}"
