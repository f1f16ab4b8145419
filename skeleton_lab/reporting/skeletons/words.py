"""Skeletons in words: the table of all, and what is known of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import own, rules
from skeleton_lab.skeletons.layouts import Layout

TITLES = ("name", "joints", "coordinates", "units", "what it is", "other names")
OF_JOINTS = ("", "joint", "hangs on", "mirrored")
UNITS = {"m": "metres", "cm": "centimetres", "mm": "millimetres", "px": "pixels", "image": "shares of the image"}


def coordinates(layout: Layout) -> str:
    """``x y``, ``x y z``, ``x y score`` ..."""
    return " ".join("xyz"[: layout.dimensions]) + (" score" if layout.scored else "")


def row(layout: Layout) -> tuple[str, ...]:
    """A line of the table of all."""
    return (
        layout.name, str(layout.V), coordinates(layout), layout.units, layout.title, ", ".join(layout.aliases),
    )  # fmt: skip


def table(layouts: Iterable[Layout]) -> list[str]:
    """Name, joints, coordinates, units, what it is and other names of each, in columns."""
    return columns([TITLES, *map(row, layouts)])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def joints(layout: Layout) -> list[tuple[str, ...]]:
    """Number, name, parent and mirror image of each joint."""
    told = [f"{k} {name}" for k, name in enumerate(layout.joints)]
    return [
        (str(k), name, told[layout.parent[k]] if k != layout.root else "the root",
         told[layout.mirror[k]] if layout.mirror[k] != k else "")
        for k, name in enumerate(layout.joints)
    ]  # fmt: skip


def facts(layout: Layout) -> list[tuple[str, str]]:
    """What the registry holds of a skeleton beside its joints, and what follows for the networks."""
    low, high = map(own.written, layout.scale)
    pairs, power = rules.directed(layout)
    gcn, g3d = rules.scales(layout)
    told = [
        ("coordinates", f"{coordinates(layout)} in {UNITS[layout.units]}, y {'up' if layout.y_up else 'down'}"),
        ("other names", ", ".join(layout.aliases) or "none"),
        ("part of", ", ".join(layout.part_of) or "no other"),
        ("centre, root", f"{layout.centre}, {layout.root}"),
        ("origin, scale", f"{own.written(layout.origin)}, from {low} to {high}"),
        ("trunk", " ".join(map(str, layout.trunk)) or "none"),
        ("limbs", " / ".join(" ".join(map(str, limb)) for limb in layout.limbs) or "none"),
        ("MS-G3D's scales", f"{gcn} and {g3d}"),
        ("FreqMixFormer's pairs", f"from joint {_start(pairs)}, power {power}" if _start(pairs) is not None
         else f"towards joint {layout.root}, power {power}"),
        ("Hyper-GCN's virtual joints", str(rules.virtual_joints(layout.V))),
    ]  # fmt: skip
    try:
        made = rules.groups(layout)
    except UsageError:
        return [*told, ("SkateFormer's groups", "none: take one that is part of it")]
    parts = made.order.reshape(-1, made.group)
    order = " / ".join(" ".join(map(str, part)) for part in parts)
    dropped = f", without {', '.join(map(str, made.dropped))}" if made.dropped else ""
    return [*told, ("SkateFormer's groups", f"{order}{dropped}")]


def _start(pairs: Sequence[tuple[int, int]]) -> int | None:
    """The joint that all pairs i -> j lead away from; None where they lead to one."""
    starts = {i for i, _ in pairs} - {j for _, j in pairs}
    return starts.pop() if len(starts) == 1 and len({j for _, j in pairs}) == len(pairs) else None


def of(layout: Layout) -> list[str]:
    """One skeleton as text."""
    lines = [f"{layout.name}: {layout.title}, {layout.V} joints", ""]
    lines += columns([OF_JOINTS, *joints(layout)])
    return [*lines, "", *columns(facts(layout))]
