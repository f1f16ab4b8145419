"""What the network said, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import class_names as published_names
from skeleton_lab.errors import UsageError, one_line
from skeleton_lab.inference.calibrated import Calibration
from skeleton_lab.inference.windows import ALL, Recordings, Row
from skeleton_lab.utils.atomic import refuse_special
from skeleton_lab.utils.reliability import probabilities as probabilities  # of whoever has logits and no rows

DOUBT = "perhaps none of these"  # of what looks like no class of the training
TOP = 5


def class_names(count: int, ucla: bool, file: Path | None, told: Sequence[str] | None = None) -> list[str]:
    """K names: the lines of ``file``, else those that an archive has ``told``, else the published ones, else numbers.

    Raises:
        UsageError: the file cannot be read, or has another number of lines than there are classes.
    """
    if file is None and told is not None and len(told) == count:
        return list(told)
    if file is None:
        return published_names.published(count, ucla)
    refuse_special(file)
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--classes {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(lines) != count:
        raise UsageError(f"--classes {file} has {len(lines)} names, one per line; the network has {count} classes")
    return lines


def top(p: np.ndarray, names: Sequence[str], count: int = TOP) -> list[dict[str, Any]]:
    """The most probable classes of (K,), best first."""
    best = np.argsort(-p, kind="stable")[:count]
    return [{"class": int(k), "name": names[k], "probability": round(float(p[k]), 6)} for k in best]


def whole(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Per person (or all): mean probability over the windows of one recording."""
    made: dict[str, list[np.ndarray]] = {}
    for row in rows:
        made.setdefault(row.who, []).append(row.probabilities)
    return {who: np.mean(parts, axis=0) for who, parts in made.items()}


def as_json(recordings: Recordings, rows: Sequence[Row], names: Sequence[str], fps: float, about: dict) -> dict:
    """Everything, clip by clip: the mean over its windows, then each window."""
    clips = []
    of: dict[int, list[Row]] = {}
    for row in rows:
        of.setdefault(row.recording, []).append(row)
    for k, name in enumerate(recordings.names):
        mine = of.get(k, [])
        clip: dict[str, Any] = {"name": name}
        told = None if recordings.labels is None else recordings.labels[k]
        if told is not None:
            label = int(told)
            clip |= {"label": label, "label_name": names[label] if 0 <= label < len(names) else None}
        clip["top"] = {who: top(p, names) for who, p in whole(mine).items()}
        clip["windows"] = [
            {
                "first_frame": row.first, "last_frame": row.last - 1, "begin_s": round(row.first / fps, 3),
                "end_s": round(row.last / fps, 3), "who": row.who, "top": top(row.probabilities, names),
                **({} if row.known is None else {"known": row.known}),
            }
            for row in mine
        ]  # fmt: skip
        clips.append(clip)
    return {**about, "accuracy": accuracy(recordings, rows, len(names)), "classes": list(names), "clips": clips}


def sureness(calibration: Calibration | None) -> dict[str, Any]:
    """What the JSON says about the probabilities of a calibrated network; nothing of another."""
    if calibration is None:
        return {}
    reject = {"score": calibration.score, "threshold": calibration.threshold}
    return {"calibration": {"file": str(calibration.path), "temperature": calibration.temperature, "reject": reject}}


def accuracy(recordings: Recordings, rows: Sequence[Row], classes: int) -> dict[str, float | int] | None:
    """Top-1 and top-5 (fractions) of the clips with a label, everybody together, the mean of several windows.

    None where there are no labels. ``left_out`` clips have a label that is no class, or nobody asked for everybody.
    """
    if recordings.labels is None:
        return None
    of: dict[int, list[Row]] = {}
    for row in rows:
        if row.who == ALL:
            of.setdefault(row.recording, []).append(row)
    known = {k: int(label) for k, label in enumerate(recordings.labels) if label is not None}
    places = []
    for k, label in known.items():
        if k in of and 0 <= label < classes:
            mine = of[k]
            scores = mine[0].logits if len(mine) == 1 else whole(mine)[ALL]  # softmax may make classes equal
            places.append(int(np.flatnonzero(np.argsort(-scores, kind="stable") == label)[0]))
    if not places:
        return None
    hits = np.array(places)
    return {
        "top1": float((hits < 1).mean()), f"top{TOP}": float((hits < TOP).mean()), "clips": len(hits),
        "left_out": len(recordings.labels) - len(hits),
    }  # fmt: skip


def summary(content: dict[str, Any]) -> list[str]:
    """Lines about all clips: the windows, the calibration, the accuracy."""
    lines = [content["windows"]] if content.get("windows") else []
    if content.get("calibration"):
        made = content["calibration"]
        rows = [row for clip in content["clips"] for row in clip["windows"]]
        strange = sum(not row["known"] for row in rows)
        lines.append(
            f"probabilities are calibrated: temperature {made['temperature']:.4g} of {made['file']}; {strange} of "
            f"{len(rows)} predictions are perhaps of no known class ({made['reject']['score']} below "
            f"{made['reject']['threshold']:.4g})"
        )
    told = content["accuracy"]
    if told:
        left = f"; {told['left_out']} without a usable label left out" if told["left_out"] else ""
        count = f"{told['clips']} labelled clip{'s' * (told['clips'] != 1)}"
        lines.append(f"top-1 {100 * told['top1']:.2f} %, top-{TOP} {100 * told[f'top{TOP}']:.2f} % of {count}{left}")
    return lines


def table(content: dict[str, Any], most: int = 60) -> Iterator[str]:
    """Lines of the printed table: one per window and person, five classes each; a clip's label at its first."""
    rows = []
    for clip in content["clips"]:
        told = f" (label: {clip['label_name']})" if clip.get("label_name") else ""
        for place, row in enumerate(clip["windows"]):
            rows.append((one_line(clip["name"]) + told * (place == 0), row))
    width = max([4, *(len(name) for name, _ in rows[:most])])
    yield f"{'clip':{width}}  {'frames':>11}  {'seconds':>13}  {'who':8}  top {TOP}"
    for name, row in rows[:most]:
        frames = f"{row['first_frame']}-{row['last_frame']}"
        seconds = f"{row['begin_s']:.1f}-{row['end_s']:.1f}"
        best = ", ".join(f"{each['name']} {100 * each['probability']:.1f} %" for each in row["top"])
        best += f"; {DOUBT}" if row.get("known") is False else ""
        yield f"{name:{width}}  {frames:>11}  {seconds:>13}  {row['who']:8}  {best}"
    if len(rows) > most:
        yield f"... and {len(rows) - most} more rows, all of them in the JSON file"
    means = [
        (one_line(clip["name"]), who, best)
        for clip in content["clips"]
        if len({row["first_frame"] for row in clip["windows"]}) > 1
        for who, best in clip["top"].items()
    ]
    for name, who, best in means[:most]:
        words = ", ".join(f"{each['name']} {100 * each['probability']:.1f} %" for each in best)
        yield f"{name}, mean of its windows, {who}: {words}"
    if len(means) > most:
        yield f"... and {len(means) - most} more means, all of them in the JSON file"


def dumped(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def main_row(rows: Sequence[Row], recording: int, frame: int) -> Row | None:
    """The window whose middle is nearest to a frame; everybody's, where there is one."""
    mine = [row for row in rows if row.recording == recording]
    key = lambda row: (abs(row.first + row.last - 1 - 2 * frame), row.who != ALL, row.who)  # noqa: E731
    return min(mine, key=key, default=None)
