"""The skeletons of the field, as a registry of data, and a user's own in the same form.

``layouts.yaml`` beside this file holds them; ``layout(name)`` finds one by its name or another name of the field, or
reads a YAML file.  Seven numbers of joints stand for several skeletons each (17: COCO, Human3.6M, PoseTrack ...), so
``told_by_joints`` answers only where the number leaves no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.skeletons.edges import Edges

OWN = (".yaml", ".yml")
UNITS = ("m", "cm", "mm", "px", "image")  # image: shares of its width and height
PUBLISHED = {25: "ntu25", 20: "ucla20"}  # what files of so many 3-D joints are that say nothing: those of the papers
_POINT = re.compile(r"(\d+)|\((\d+(?:\+\d+)+)\)/(\d+)")

Point = tuple[int, ...]  # the mean of these joints


@dataclass(frozen=True)
class Layout:
    """One order of joints, numbered from 0, and the tree of its bones.

    Attributes:
        name: as ``--skeleton`` takes it; title: as documents call it; aliases: other names of the field.
        joints: V names; those of one side begin with ``left_`` or ``right_``, the person's own.
        bones: (child, parent), a tree; the directed graphs of the papers point as they do.
        pairs: (left, right) joints that a mirror exchanges.
        root: end of the bones; centre: of ST-GCN's partition by distance.
        origin: point that training takes as zero; scale: two points whose distance is a person's size.
        trunk: from the pelvis to the head; limbs: arms, then legs (hands: fingers), each left then right, from the
            trunk outward; face: what is left.
        dimensions: 2 or 3 coordinates; units: one of ``UNITS``; y_up: y points up (pixels: down).
        scored: files have a score behind the coordinates of a joint.
    """

    name: str
    title: str
    joints: tuple[str, ...]
    bones: Edges
    root: int
    centre: int
    origin: Point
    scale: tuple[Point, Point]
    trunk: tuple[int, ...] = ()
    limbs: tuple[tuple[int, ...], ...] = ()
    face: tuple[int, ...] = ()
    pairs: Edges = field(default_factory=list)
    dimensions: int = 3
    units: str = "m"
    y_up: bool = True
    scored: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def V(self) -> int:
        return len(self.joints)

    def at(self, name: str) -> int:
        return self.joints.index(name)

    @cached_property
    def parent(self) -> np.ndarray:
        """(V,) int64, the joint that each bone starts from; the root's is itself."""
        table = np.arange(self.V)
        for child, above in self.bones:
            table[child] = above
        return table

    @cached_property
    def mirror(self) -> np.ndarray:
        """(V,) int64, the joint on the other side of the body; one in the middle is its own."""
        table = np.arange(self.V)
        for left, right in self.pairs:
            table[[left, right]] = right, left
        return table


@cache
def known() -> Mapping[str, Layout]:
    """All layouts of the registry by name, in its order."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(Path(__file__).with_name("layouts.yaml").read_text(encoding="utf-8"), loader)
    return {name: _made(name, _inherited(entry, content), "layouts.yaml") for name, entry in content.items()}


def _inherited(entry: dict[str, Any], all_of_them: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in entry.items() if key != "same_as"}
    return all_of_them[entry["same_as"]] | rest if "same_as" in entry else rest


def layout(name: str | Path) -> Layout:
    """A layout by name, by another name of the field in any case, or from a YAML file (``.yaml``, ``.yml``).

    Raises:
        UsageError: no such name or file, or a file that describes no skeleton; one line that names the key.
    """
    if Path(name).suffix in OWN:
        return _own(Path(name))
    word = str(name).lower().replace(" ", "-")
    for each in known().values():
        if word == each.name or word in each.aliases:
            return each
    raise UsageError(
        f"--skeleton {name}: there is no such skeleton.{nearest(word, known())} `skeleton-lab skeletons` lists them; "
        "your own is a .yaml file (docs/skeletons.md)"
    )


def told_by_joints(V: int) -> Layout | None:
    """The layout of files that say nothing but how many joints they have, where there is one answer.

    25 and 20 three-dimensional joints are the Kinect's, as in the archives of the papers.
    """
    if V in PUBLISHED:
        return known()[PUBLISHED[V]]
    fitting = [each for each in known().values() if each.V == V]
    return fitting[0] if len(fitting) == 1 else None


def resolve(given: str | Path | None, stored: str | None, V: int, where: str) -> Layout:
    """The skeleton of data of ``V`` joints: as given, else as the archive says, else by the number of joints.

    Args:
        given: of ``--skeleton``; stored: what the archive says; where: the data, for errors.

    Raises:
        UsageError: another number of joints than the data has, or several skeletons have so many.
    """
    told = given if given is not None else stored
    if told is None:
        found = told_by_joints(V)
        if found is None:
            fitting = ", ".join(each.name for each in known().values() if each.V == V)
            raise UsageError(
                f"{where}: {V} joints do not tell the skeleton ({fitting or 'none of the known ones has so many'}); "
                "name it with --skeleton NAME, or your own as FILE.yaml"
            )
        return found
    found = layout(told)
    if found.V != V:
        raise UsageError(f"{where} has {V} joints, and the skeleton {found.name} has {found.V}")
    return found


def _own(path: Path) -> Layout:
    """A user's skeleton: a YAML file with the keys of one entry of ``layouts.yaml``, ``name`` besides.

    Raises:
        UsageError: not readable, or a key is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"--skeleton {path}: cannot be read ({' '.join(str(error).split())})") from None
    return parsed(text, path.stem, f"--skeleton {path}")


def parsed(text: str, name: str, where: str) -> Layout:
    """A skeleton of YAML text; ``name`` where the text has none, ``where`` the text is from.

    Raises:
        UsageError: no YAML, or a key is missing.
    """
    try:
        entry = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: cannot be read ({' '.join(str(error).split())})") from None
    rest = {key: value for key, value in entry.items() if key != "name"}
    return _made(str(entry.get("name", name)), rest, where)


def as_text(skeleton: Layout) -> str:
    """YAML text that ``parsed`` makes the same layout of."""
    lists = {key: list(getattr(skeleton, key)) for key in ("joints", "trunk", "face", "aliases")}
    pairs = {key: [list(pair) for pair in getattr(skeleton, key)] for key in ("bones", "pairs", "limbs")}
    plain = {key: getattr(skeleton, key) for key in ("name", "title", "root", "centre", "dimensions", "units", "y_up")}
    origin, (low, high) = _written(skeleton.origin), map(_written, skeleton.scale)
    entry = {**plain, "scored": skeleton.scored, "origin": origin, "scale": f"{low}-{high}", **lists, **pairs}
    return yaml.safe_dump(entry, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def _written(joints: Point) -> str:
    return str(joints[0]) if len(joints) == 1 else f"({'+'.join(map(str, joints))})/{len(joints)}"


def _made(name: str, entry: dict[str, Any], where: str) -> Layout:
    """A layout of plain data as YAML gives it."""
    ends = str(entry["scale"]).split("-")
    return Layout(
        **{key: value for key, value in entry.items() if key not in ("origin", "scale")}
        | {key: tuple(entry.get(key, ())) for key in ("joints", "trunk", "face", "aliases")}
        | {key: [tuple(pair) for pair in entry.get(key, ())] for key in ("bones", "pairs")}
        | {"limbs": tuple(tuple(limb) for limb in entry.get("limbs", ()))},
        name=name,
        origin=point(str(entry["origin"]), f"{where}: {name}: origin"),
        scale=(point(ends[0], f"{where}: {name}: scale"), point(ends[-1], f"{where}: {name}: scale")),
    )


def point(text: str, where: str) -> Point:
    """``1`` one joint, ``(11+12)/2`` the mean of two.

    Raises:
        UsageError: neither.
    """
    match = _POINT.fullmatch(text.strip())
    joints = tuple(int(joint) for joint in (match[1] or match[2]).split("+")) if match else ()
    if match is None or (match[3] and int(match[3]) != len(joints)):
        raise UsageError(f"{where}: '{text}' is no point; write a joint as 1, or a mean as (11+12)/2")
    return joints
