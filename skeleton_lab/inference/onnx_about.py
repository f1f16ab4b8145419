"""What an exported network says about itself: JSON under one key of the ONNX file's metadata.

It is all that predicting needs beside the graph, so that whoever runs the file needs neither the training's
configuration nor PyTorch. The module needs the standard library alone; a reader in another language finds the text
under ``skeleton_lab`` in the metadata of its runtime's session.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from skeleton_lab.errors import UsageError, one_line

KEY = "skeleton_lab"
FORM = 1  # of the text; a reader refuses a later one
AVERAGES = ("prob", "score")  # what ``average_clips`` may be
GENERATED = 25  # joints that MS-G3D's generator takes
MOST = 1_000_000  # frames, classes, people: whatever a file counts
LEAST = {
    "num_class": 1, "joints": 1, "channels": 1, "persons": 1, "frames": 1, "padded": 1, "form": 1, "usual_length": 0,
}  # fmt: skip
CLIPS, KEYPOINTS, LOGITS, BATCH, FRAMES = "clips", "keypoints", "logits", "batch", "frames"  # inputs, output, free axes


@dataclass(frozen=True)
class About:
    """An exported network.

    Attributes:
        room: image name; model: dotted name of the class; config, weights: files that it was exported from.
        num_class: K of the logits; classes: their K names, None where nothing tells them.
        skeleton: layout of the clips by its name, one's own as YAML text, None of the published archives' joints.
        joints, channels, persons: V, C, M of what the network reads; scored: the last channel is a score.
        placed: clips are moved and scaled by the body first, as those of another skeleton than the published are.
        frames: of the clips that it was exported with; dynamic: axes that are free of ``batch``, ``frames``.
        window: frames of a window of the configuration; None where it takes clips as long as they are.
        usual_length: frames of the median clip that it was tested on; None where that is not known.
        padded: frames that clips in memory are filled up to, as those of its archives are.
        feeder: dotted name of the class that makes the network's input of clips; feeder_args: its arguments in a test,
            without those that say where the clips are.
        feeder_kind: dotted name of the lab's class that it is made of, since a room's own is not everywhere.
        average_clips: how several clips of a sample become one answer, ``prob`` or ``score``.
        generated: its archives hold clips turned by MS-G3D's generator; bones: bones of those.
        preprocessing: the file takes ``keypoints`` and normalises them itself; it fills in no missing joints.
        calibration: of the weights, where ``skeleton-lab calibrate`` has measured them (``calibrated.statement``): p is
            softmax(logits / temperature). None where not, and in files of earlier versions.
        version: of the lab; commit: of its working tree, None where that is not known.
    """

    room: str
    model: str
    config: str
    weights: str
    num_class: int
    classes: list[str] | None
    skeleton: str | None
    joints: int
    channels: int
    persons: int
    scored: bool
    placed: bool
    frames: int
    dynamic: list[str]
    window: int | None
    usual_length: int | None
    padded: int
    feeder: str
    feeder_kind: str
    feeder_args: dict[str, Any]
    average_clips: str
    generated: bool
    bones: bool
    preprocessing: bool
    version: str
    commit: str | None
    calibration: dict[str, Any] | None = None
    form: int = FORM


def dumped(about: About) -> str:
    """The text that the file holds under ``KEY``."""
    return json.dumps(asdict(about), ensure_ascii=False)


def loaded(metadata: Mapping[str, str], where: str) -> About:
    """What a file says about itself.

    Args:
        metadata: of the file, by key: ``session.get_modelmeta().custom_metadata_map`` of onnxruntime.
        where: the file, for messages.

    Raises:
        UsageError: it is no export of the lab, one of a later version, or damaged.
    """
    if KEY not in metadata:
        raise UsageError(
            f"{where} does not say whose network it is (no metadata '{KEY}'): take a file of skeleton-lab export"
        )
    try:
        content = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{where}: metadata '{KEY}' is no JSON ({one_line(error)}); export the network anew"
        ) from error
    form = content.get("form") if isinstance(content, dict) else None
    if isinstance(form, int) and form > FORM:
        raise UsageError(
            f"{where} was exported by a later version of the lab (form {form}, known is {FORM}): update it"
        )
    return About(**_checked(content, where))


def _checked(content: Any, where: str) -> dict[str, Any]:
    """The fields of ``About`` in the file's JSON; what is not known is left out."""
    if not isinstance(content, dict):
        raise UsageError(f"{where}: metadata '{KEY}' holds no fields; export the network anew")
    found: dict[str, Any] = {}
    for field in fields(About):
        value = content.get(field.name)
        if not _fits(value, str(field.type)):
            raise UsageError(
                f"{where}: metadata '{KEY}': {field.name} should be {field.type}, not {one_line(repr(value))[:80]}; "
                "export the network anew"
            )
        found[field.name] = value
    _check_lengths(found, where)
    if found["average_clips"] not in AVERAGES:
        raise UsageError(
            f"{where}: metadata '{KEY}': average_clips is {one_line(found['average_clips'])[:80]}, not one of "
            f"{', '.join(AVERAGES)}; export the network anew"
        )
    if found["generated"] and (found["skeleton"] is not None or found["joints"] != GENERATED):
        raise UsageError(
            f"{where}: metadata '{KEY}': clips are generated of {GENERATED} joints alone; export the network anew"
        )
    if found["classes"] is not None and len(found["classes"]) != found["num_class"]:
        raise UsageError(
            f"{where}: metadata '{KEY}': {len(found['classes'])} names of {found['num_class']} classes; export it anew"
        )
    return found


def _check_lengths(found: Mapping[str, Any], where: str) -> None:
    """UsageError for sizes that no clip has; of ``window`` anything below 1 says that there is none."""
    for name, least in LEAST.items():
        value = found[name]
        if value is not None and not least <= value <= MOST:
            raise UsageError(
                f"{where}: metadata '{KEY}': {name} is {value}, not {least} to {MOST}; export the network anew"
            )


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value of JSON is of the type that the dataclass declares."""
    if value is None:
        return annotation.endswith("| None")
    kind = annotation.removesuffix(" | None")
    if kind == "list[str]":
        return isinstance(value, list) and all(isinstance(each, str) and _text(each) for each in value)
    plain = {"str": str, "int": int, "bool": bool, "dict[str, Any]": dict}[kind]
    return isinstance(value, plain) and (plain is bool or not isinstance(value, bool))


def _text(value: str) -> bool:
    """Whether it can be written: halves of surrogate pairs cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
