"""PYSKL's pipelines as lists of steps: the published one, and what a list becomes for another skeleton or stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skeleton_lab.data.feeders.pyskl_streams import LAYOUTS, NTU
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.layouts import Layout

Pipeline = Sequence[Mapping[str, Any]]
SAMPLING = ("UniformSample", "UniformSampleFrames", "UniformSampleDecode")
EXTENDED = "Kinetics_Transform"  # COCO's joints and three more
# ST-GCN++ on 3-D joints
PUBLISHED: Pipeline = (
    {"type": "PreNormalize3D"},
    {"type": "GenSkeFeat", "dataset": NTU, "feats": ["j"]},
    {"type": "UniformSample", "clip_len": 100},
    {"type": "PoseDecode"},
    {"type": "FormatGCNInput", "num_person": 2},
)


def checked(pipeline: Any) -> list[dict[str, Any]]:
    """Copies of the entries.

    Raises:
        UsageError: not a list of steps with a sampling and, at last, FormatGCNInput.
    """
    fits = isinstance(pipeline, (list, tuple)) and all(isinstance(each, Mapping) for each in pipeline)
    if not fits or not all(isinstance(each.get("type"), str) for each in pipeline):
        raise UsageError(f"feeder argument pipeline is a list of steps, {{type: name, ...}} each, not {pipeline!r}")
    names = [entry["type"] for entry in pipeline]
    if "FormatGCNInput" not in names or not set(SAMPLING) & set(names):
        raise UsageError(
            f"feeder argument pipeline needs one of {', '.join(SAMPLING)}, and FormatGCNInput after it; it has "
            f"{', '.join(names) or 'no steps'}"
        )
    return [dict(entry) for entry in pipeline]


def changed(pipeline: Pipeline, **values: Any) -> list[dict[str, Any]]:
    """The pipeline with other arguments of its steps; None: as they are.

    Args:
        values: of the sampling clip_len, num_clips, p_interval; of GenSkeFeat feats; of FormatGCNInput num_person.
    """
    of = {**dict.fromkeys(SAMPLING, ("clip_len", "num_clips", "p_interval")), "GenSkeFeat": ("feats",),
          "FormatGCNInput": ("num_person",)}  # fmt: skip
    return [
        {**entry, **{key: values[key] for key in of.get(entry["type"], ()) if values.get(key) is not None}}
        for entry in pipeline
    ]


def dataset_of(pipeline: Pipeline) -> str | None:
    """Whose bones the pipeline takes; None without streams."""
    return next((entry.get("dataset", NTU) for entry in pipeline if entry["type"] == "GenSkeFeat"), None)


def fits(pipeline: Pipeline, skeleton: Layout, flat: bool) -> bool:
    """Whether a pipeline is for clips of this skeleton; ``flat``: points of a picture."""
    names = {entry["type"] for entry in pipeline}
    if names & ({"PreNormalize3D"} if flat else {"PreNormalize2D", "Flip"}):
        return False
    if EXTENDED in names:
        return skeleton.name == "coco17"
    dataset = dataset_of(pipeline)
    return dataset is None or skeleton.name == LAYOUTS.get(dataset, dataset)


def about_the_body(pipeline: Pipeline) -> bool:
    """Whether people are moved to the origin and turned upright, wherever they are."""
    return any(entry["type"] == "PreNormalize3D" for entry in pipeline)


def adapted(pipeline: Pipeline, skeleton: Layout, flat: bool, placed: bool = False) -> list[dict[str, Any]]:
    """A pipeline for clips of another skeleton, by the rules of docs/pyskl-data.md.

    Clips are normalised as PYSKL does in two or three dimensions, unless they are ``placed`` already; bones and pairs
    are the skeleton's, and COCO's three more joints are left out.
    """
    published = {layout: dataset for dataset, layout in LAYOUTS.items()}
    made: list[dict[str, Any]] = []
    for entry in pipeline:
        name = entry["type"]
        if name in ("PreNormalize3D", "PreNormalize2D"):
            made += [] if placed else [_normalised(entry, skeleton, flat)]
        elif name == "GenSkeFeat":
            made.append({**entry, "dataset": published.get(skeleton.name, skeleton)})
        elif name in ("Spatial_Flip", "Part_Drop"):
            made.append({**entry, "dataset": skeleton})
        elif name == "Flip" and flat:
            left, right = zip(*skeleton.pairs) if skeleton.pairs else ((), ())
            made.append({**entry, "left_kp": left, "right_kp": right})
        elif name == "Flip":
            made.append({"type": "Spatial_Flip", "dataset": skeleton, "p": entry.get("flip_ratio", 0.5)})
        elif name == EXTENDED:
            made += [{"type": "PreNormalize2D"}] if flat else []
        else:
            made.append(dict(entry))
    if not flat and not any(entry["type"] == "PreNormalize3D" for entry in made):
        made.insert(0, _normalised({"align_spine": False}, skeleton, flat))
    return made


def _normalised(entry: Mapping[str, Any], skeleton: Layout, flat: bool) -> dict[str, Any]:
    """The step that brings clips of a skeleton into their frame of reference."""
    if flat:
        return dict(entry) if entry.get("type") == "PreNormalize2D" else {"type": "PreNormalize2D"}
    made = dict(entry) if entry.get("type") in (None, "PreNormalize3D") else {}
    made["type"] = "PreNormalize3D"
    if skeleton.name == "ntu25":
        return made
    axes = upright(skeleton)
    if axes is None:
        return made | {"align_spine": False, "centre": skeleton.origin}
    return made | {"zaxis": axes[0], "xaxis": axes[1], "centre": skeleton.origin}


def upright(skeleton: Layout) -> tuple[tuple, tuple] | None:
    """Two points from the pelvis upward, and from the right shoulder to the left one; None of a hand."""
    if len(skeleton.limbs) != 4:
        return None
    left_arm, right_arm, left_leg, right_leg = (limb[0] for limb in skeleton.limbs)
    up: tuple[tuple[int, ...], ...] = ((left_leg, right_leg), (left_arm, right_arm))
    if len(skeleton.trunk) > 1:
        up = ((skeleton.trunk[0],), (skeleton.trunk[1],))
    return up, ((right_arm,), (left_arm,))
