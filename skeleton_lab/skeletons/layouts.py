"""The skeletons of the field, as a registry of data, and a user's own in the same form.

``layouts.yaml`` beside this file holds them; ``layout(name)`` finds one by its name or another name of the field, or
reads a YAML file.  Seven numbers of joints stand for several skeletons each (17: COCO, Human3.6M, PoseTrack ...), so
``told_by_joints`` answers only where the number leaves no doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.skeletons import own
from skeleton_lab.skeletons.own import UNITS, Point, point
from skeleton_lab.skeletons.tree import Edges

__all__ = [
    "OWN", "UNITS", "Layout", "Point", "as_text", "known", "layout", "parsed", "point", "told_by_joints",
]  # fmt: skip

OWN = (".yaml", ".yml")
PUBLISHED = {25: "ntu25", 20: "ucla20"}  # what files of so many 3-D joints are that say nothing: those of the papers


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
        variants: bones that the papers also draw otherwise, by name: (child, parent) pairs in place of the child's.
        drawn: bones of the estimators' own drawings where they are not the tree; also_drawn: bones beside it.
        part_of: whole bodies by name, and their joints that are this layout's, in its order.
        published: what a paper does with this skeleton otherwise than by its own rule (``skeletons/rules.py``).
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
    # What the papers make of a known skeleton, beside what it is
    variants: Mapping[str, Edges] = field(default_factory=dict, compare=False)
    drawn: Edges = field(default_factory=list, compare=False)
    also_drawn: Edges = field(default_factory=list, compare=False)
    part_of: Mapping[str, tuple[int, ...]] = field(default_factory=dict, compare=False)
    published: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def V(self) -> int:
        return len(self.joints)

    def at(self, name: str) -> int:
        return self.joints.index(name)

    def variant(self, name: str) -> Layout:
        """The layout with the bones of that variant."""
        other = dict(self.variants[name])
        return replace(self, bones=[(child, other.get(child, parent)) for child, parent in self.bones])

    @property
    def edges(self) -> Edges:
        """(joint, parent) pairs along which key points are drawn, and gaps in them filled."""
        return (self.drawn or self.bones) + self.also_drawn

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
    return {
        name: _made({"name": name} | _inherited(entry, content), f"layouts.yaml: {name}")
        for name, entry in content.items()
    }


def _inherited(entry: dict[str, Any], all_of_them: dict[str, Any]) -> dict[str, Any]:
    """An entry with what it has of another one: ``same_as`` it, or the joints of it that ``part_of`` names."""
    entry = entry | {"part_of": {whole: _numbers(ranges) for whole, ranges in entry.get("part_of", {}).items()}}
    if "same_as" in entry:
        return all_of_them[entry["same_as"]] | {key: value for key, value in entry.items() if key != "same_as"}
    if "joints" in entry:
        return entry
    whole, taken = next(iter(entry["part_of"].items()))
    rest = {key: value for key, value in entry.items() if key != "links"}
    return {**_part(all_of_them[whole], taken, entry.get("links", [])), **rest}


def _numbers(ranges: list[str | int]) -> tuple[int, ...]:
    """``[0-2, 7]`` as 0, 1, 2, 7."""
    ends = [str(each).split("-") for each in ranges]
    return tuple(joint for each in ends for joint in range(int(each[0]), int(each[-1]) + 1))


def _part(whole: dict[str, Any], taken: tuple[int, ...], links: list[list[int]]) -> dict[str, Any]:
    """Joints of a whole body with the bones and pairs among them; ``links`` are bones that make them one tree."""
    place = {joint: k for k, joint in enumerate(taken)}
    kept = {
        key: [[place[a], place[b]] for a, b in whole[key] if a in place and b in place] for key in ("bones", "pairs")
    }
    same = {key: whole[key] for key in ("dimensions", "units", "y_up", "scored")}
    middle = {key: place.get(whole[key], 0) for key in ("root", "centre")}
    return {**same, **middle, **kept, "bones": kept["bones"] + links, "joints": [whole["joints"][k] for k in taken]}


def layout(name: str | Path) -> Layout:
    """A layout by name, by another name of the field in any case, from a YAML file (``.yaml``, ``.yml``) or its text.

    Raises:
        UsageError: no such name or file, or a file that describes no skeleton; one line that names the key.
    """
    if "\n" in str(name).strip():  # as an archive has it, and the config.yaml of a run
        return parsed(str(name), "own", "the skeleton")
    if Path(name).suffix in OWN:
        return _made(own.read(Path(name)), str(name))
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


def parsed(text: str, name: str, where: str) -> Layout:
    """A skeleton of one's own from YAML text; ``name`` where the text has none, ``where`` it stands, for errors.

    Raises:
        UsageError: it describes no skeleton; one line that names the key.
    """
    return _made(own.parsed(text, name, where), where)


def as_text(layout: Layout) -> str:
    """YAML text that ``parsed`` makes the same layout of, for archives."""
    plain: dict[str, Any] = {key: getattr(layout, key) for key in own.KEYS}
    plain |= {key: list(plain[key]) for key in ("aliases", "joints", "trunk", "face")}
    plain |= {key: [list(each) for each in plain[key]] for key in ("bones", "pairs", "limbs")}
    plain |= {"origin": own.written(layout.origin), "scale": "-".join(map(own.written, layout.scale))}
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def _made(entry: dict[str, Any], where: str) -> Layout:
    """A layout of plain data as YAML gives it."""
    ends = str(entry["scale"]).split("-")
    return Layout(
        **{key: value for key, value in entry.items() if key not in ("origin", "scale")}
        | {key: tuple(entry.get(key, ())) for key in ("joints", "trunk", "face", "aliases")}
        | {key: [tuple(pair) for pair in entry.get(key, ())] for key in ("bones", "pairs", "drawn", "also_drawn")}
        | {"limbs": tuple(tuple(limb) for limb in entry.get("limbs", ()))}
        | {"variants": {key: [tuple(bone) for bone in bones] for key, bones in entry.get("variants", {}).items()}},
        origin=point(str(entry["origin"]), f"{where}: origin"),
        scale=(point(ends[0], f"{where}: scale"), point(ends[-1], f"{where}: scale")),
    )
