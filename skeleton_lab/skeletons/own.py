"""A user's own skeleton, written as YAML: checked, and completed by what follows from its joints and bones.

``joints`` and ``bones`` are needed; joints are numbers from 0 or names.  The rest is found where it is not given: pairs
by the names, the root by the bones, the other points and the parts of the body by ``parts``.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import Repr
from typing import Any

from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.skeletons import parts, tree
from skeleton_lab.skeletons.tree import Edges
from skeleton_lab.utils import safe_yaml

UNITS = ("m", "cm", "mm", "px", "image")  # image: shares of its width and height
KEYS = (
    "name", "title", "aliases", "joints", "bones", "pairs", "root", "centre", "origin", "scale", "trunk", "limbs",
    "face", "dimensions", "units", "y_up", "scored",
)  # fmt: skip
MOST, LARGEST = 1000, 1_000_000  # joints, bytes of a file; a face has 500 joints
_SHORT = Repr()  # of foreign values: the aliases of YAML make long ones of few characters
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 2, 4, 4, 60
shortened = _SHORT.repr
_POINT = re.compile(r"(\d+)|\((\d+(?:\+\d+)+)\)/(\d+)")

Point = tuple[int, ...]  # the mean of these joints


def read(path: Path) -> dict[str, Any]:
    """The completed entry of a file, as ``layouts.yaml`` has them.

    Raises:
        UsageError: not readable, or no skeleton; one line that names file and key.
    """
    try:
        told = path.stat()
        if not stat.S_ISREG(told.st_mode) or told.st_size > LARGEST:
            raise UsageError(f"--skeleton {path}: it is no file of at most {LARGEST // 1000} kB")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UsageError(f"--skeleton {path}: cannot be read: {reason}") from None
    return parsed(text, path.stem, str(path))


def parsed(text: str, name: str, where: str) -> dict[str, Any]:
    """The completed entry of a text; ``name`` is that of a skeleton that has none of its own."""
    entry = safe_yaml.parsed(text, where)
    if not isinstance(entry, dict):
        raise UsageError(
            f"{where}: a skeleton is a table of keys, with joints: and bones: at least (docs/skeletons.md)"
        )
    return _Reading(entry, where).completed(name)


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


def written(place: Sequence[int]) -> str:
    """A point as ``point`` reads it."""
    return str(place[0]) if len(place) == 1 else f"({'+'.join(map(str, place))})/{len(place)}"


class _Reading:
    """One entry as it is checked; every error names the file and the key."""

    def __init__(self, entry: Mapping[Any, Any], where: str) -> None:
        self.entry, self.where = entry, where
        self.joints: list[str] = []

    def wrong(self, key: str, what: str) -> UsageError:
        return UsageError(f"{self.where}: {key}: {what}")

    def completed(self, name: str) -> dict[str, Any]:
        for key in self.entry:
            if key not in KEYS:
                raise self.wrong(
                    str(key), f"there is no such key; keys are {', '.join(KEYS)}.{nearest(str(key), KEYS)}"
                )
        self.joints = self.names()
        V, bones, root = len(self.joints), *self.tree()
        pairs = self.pairs() if self.entry.get("pairs") is not None else self.named_pairs()
        found = parts.of(self.joints, bones, root, pairs)
        made: dict[str, Any] = {"joints": self.joints, "bones": bones, "pairs": pairs, "root": root}
        made["name"] = self.text("name", name)
        made["title"] = self.text("title", made["name"])
        made["aliases"] = self.others()
        made["centre"] = self.joint("centre", tree.centre(bones, V, root))
        made |= self.body(found)
        made["origin"] = self.points("origin", 1, written(found.origin))
        made["scale"] = self.points("scale", 2, "-".join(map(written, found.scale)))
        dimensions = self.choice("dimensions", (2, 3), 3)
        made["dimensions"] = dimensions
        made["units"] = self.choice("units", UNITS, "px" if dimensions == 2 else "m")
        made["y_up"] = self.choice("y_up", (True, False), dimensions == 3)
        made["scored"] = self.choice("scored", (True, False), dimensions == 2)
        return made

    def text(self, key: str, default: str) -> str:
        value = self.entry.get(key, default)
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 200:
            raise self.wrong(key, f"a short text is needed, not {shortened(value)}")
        return value.strip()

    def others(self) -> list[str]:
        """``aliases``, which archives keep of a skeleton that has them."""
        found = self.listed("aliases", "other names") if "aliases" in self.entry else []
        if not all(isinstance(name, str) and name.isprintable() for name in found):
            raise self.wrong("aliases", "short texts are needed")
        return found

    def choice(self, key: str, among: tuple[Any, ...], default: Any) -> Any:
        value = self.entry.get(key, default)
        if not any(value == each and type(value) is type(each) for each in among):
            said = ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in among)
            raise self.wrong(key, f"{shortened(value)} is not one of {said}")
        return value

    def listed(self, key: str, what: str, length: int | None = None) -> list[Any]:
        value = self.entry.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, f"a list is needed: {what}")
        if length is not None and any(not isinstance(each, list) or len(each) != length for each in value):
            broken = next(each for each in value if not isinstance(each, list) or len(each) != length)
            raise self.wrong(key, f"{shortened(broken)} is not {what}")
        return value

    def names(self) -> list[str]:
        value = self.entry.get("joints")
        if value is None:
            raise self.wrong(
                "joints", "the key is missing: give the names in the order of the data, or how many there are"
            )
        if isinstance(value, int) and not isinstance(value, bool):
            value = [f"joint_{k}" for k in range(min(max(value, 0), MOST + 1))]
        if not isinstance(value, list) or not all(
            isinstance(name, str) and name.strip() and name.isprintable() for name in value
        ):
            raise self.wrong("joints", "names in the order of the data are needed, or how many joints there are")
        if not 2 <= len(value) <= MOST:
            raise self.wrong("joints", f"there are {len(value)}; 2 to {MOST} can be read")
        twice = next((name for k, name in enumerate(value) if name in value[:k]), None)
        if twice is not None:
            raise self.wrong("joints", f"'{twice}' is there twice")
        return value

    def at(self, key: str, value: Any) -> int:
        """The number of a joint that is given by number or name."""
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value < len(self.joints):
                raise self.wrong(key, f"there is no joint {value}; they are numbered from 0 to {len(self.joints) - 1}")
            return value
        if value not in self.joints:
            near = nearest(value, self.joints) if isinstance(value, str) else ""
            raise self.wrong(key, f"there is no joint {shortened(value)}.{near}")
        return self.joints.index(value)

    def said(self, joint: int) -> str:
        return str(joint) if isinstance(self.entry["joints"], int) else f"{joint} ({self.joints[joint]})"

    def joint(self, key: str, default: int) -> int:
        return self.at(key, self.entry[key]) if self.entry.get(key) is not None else default

    def tree(self) -> tuple[Edges, int]:
        """The bones as (child, parent) and their root; with ``root`` given, the bones may point either way."""
        if self.entry.get("bones") is None:
            raise self.wrong("bones", "the key is missing: a list of [child, parent] pairs of joints")
        given = self.listed("bones", "a bone, [child, parent]", 2)
        bones = [(self.at("bones", child), self.at("bones", parent)) for child, parent in given]
        V, rooted = len(self.joints), self.entry.get("root") is not None
        above: dict[int, int] = {}
        for child, parent in bones:
            if child == parent:
                raise self.wrong("bones", f"joint {self.said(child)} is tied to itself; the root has no bone")
            if child in above and not rooted and above[child] != parent:
                raise self.wrong("bones", f"joint {self.said(child)} has two parents, {above[child]} and {parent}")
            above[child] = parent
        tops = self.joined(bones)
        if len(tops) > 1:
            raise self.wrong(
                "bones", f"there are {len(tops)} trees, with the joints {', '.join(map(self.said, tops[:4]))}"
                f"{' ...' if len(tops) > 4 else ''} in them; bones have to join them all",
            )  # fmt: skip
        end = next(joint for joint in range(V) if joint not in above) if len(above) < V else None
        root = self.joint("root", end if end is not None else 0)
        return (bones if len(above) == V - 1 and end == root else tree.rerooted(bones, V, root)), root

    def joined(self, bones: Edges) -> list[int]:
        """One joint of every tree that the bones make; a bone that closes a circle is an error."""
        of = list(range(len(self.joints)))
        for child, parent in bones:
            if of[child] == of[parent]:
                raise self.wrong("bones", f"[{child}, {parent}] closes a circle, or is there twice")
            of = [of[parent] if tree_of == of[child] else tree_of for tree_of in of]
        return sorted(set(of))

    def pairs(self) -> Edges:
        given = self.listed("pairs", "a pair, [left, right]", 2)
        pairs = [(self.at("pairs", left), self.at("pairs", right)) for left, right in given]
        every = [joint for pair in pairs for joint in pair]
        twice = next((joint for k, joint in enumerate(every) if joint in every[:k]), None)
        if twice is not None:
            raise self.wrong("pairs", f"joint {self.said(twice)} is there twice")
        return pairs

    def named_pairs(self) -> Edges:
        for name in self.joints:
            side, _, rest = name.partition("_")
            other = {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side)
            if other is not None and other not in self.joints:
                raise self.wrong("joints", f"there is {name} and no {other}; correct the name, or give pairs:")
        lefts = [name for name in self.joints if name.startswith("left_")]
        return [(self.joints.index(name), self.joints.index(f"right_{name[5:]}")) for name in lefts]

    def body(self, found: parts.Parts) -> dict[str, Any]:
        """Trunk, limbs and face, as given or found; a face that is not given is what is in none of the others."""
        if self.entry.get("trunk") is None and self.entry.get("limbs") is None:
            trunk, limbs = found.trunk, found.limbs
        else:
            trunk = [self.at("trunk", joint) for joint in self.listed("trunk", "joints from the pelvis to the head")]
            given = self.listed(
                "limbs", "lists of joints, arms then legs, each left then right, from the trunk outward"
            )
            limbs = [[self.at("limbs", joint) for joint in limb] if isinstance(limb, list) else [] for limb in given]
            if not all(limbs):
                raise self.wrong("limbs", "each of them is a list of joints")
        used = [*trunk, *(joint for limb in limbs for joint in limb)]
        face = [joint for joint in range(len(self.joints)) if joint not in used]
        if self.entry.get("face") is not None:
            face = [self.at("face", joint) for joint in self.listed("face", "the joints of no limb, nor of the trunk")]
        used += face
        twice = next((joint for k, joint in enumerate(used) if joint in used[:k]), None)
        if twice is not None:
            raise self.wrong("trunk, limbs, face", f"joint {self.said(twice)} is there twice")
        return {"trunk": trunk, "limbs": limbs, "face": face}

    def points(self, key: str, count: int, default: str) -> str:
        """The text of a point or of two, checked; a joint's name stands for its number."""
        value = self.entry.get(key)
        if value is not None and not isinstance(value, (int, str)):
            raise self.wrong(key, f"{shortened(value)} is no point; write 1, or (11+12)/2, and two as 0-20")
        told = default if value is None else str(self.joints.index(value)) if value in self.joints else str(value)
        ends = [str(self.joints.index(end)) if end in self.joints else end
                for end in (told.split("-") if count == 2 else [told])]  # fmt: skip
        if len(ends) != count:
            raise self.wrong(key, f"'{value}' is no length; write two points with a line between them, as 0-20")
        places = [point(end, f"{self.where}: {key}") for end in ends]
        for joint in (joint for place in places for joint in place):
            self.at(key, joint)
        if count == 2 and places[0] == places[1]:
            raise self.wrong(key, f"'{value}' has no length")
        return "-".join(ends)
