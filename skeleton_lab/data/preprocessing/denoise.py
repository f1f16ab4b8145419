"""The denoising of the CTR-GCN lineage: which bodies are the one or two actors of a recording, and its log texts.

Equal to the published scripts ``get_raw_skes_data`` and ``get_raw_denoised_data``, quirks included; the two crashes
are mended: a recording of nothing but short bodies keeps them, an id twice in one frame counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skeleton_lab.data.archives.ntu_protocol import TWO_PERSONS, sample
from skeleton_lab.data.preprocessing.actors import SHORTEST, WORST, Body, Scene, motion, overlap, upright
from skeleton_lab.errors import ArchiveError

WIDTH = 75  # 25 joints of x, y, z
HEADERS = {
    "noise_length": f"{'Skeleton':^20}\t{'bodyID':^17}\t{'Motion':^8}\tLength",
    "noise_spread": f"{'Skeleton':^20}\t{'bodyID':^17}\t{'Motion':^8}\t{'Rate':^8}",
    "noise_motion": f"{'Skeleton':^20}\t{'bodyID':^17}\t{'Motion':^8}",
    "missing_skes": f"{'Skeleton':^20}\tnum_frames\tnum_missing",
    "missing_skes_1": f"{'Skeleton':^20}\tnum_frames\tActor1\tActor2\tStart\tEnd",
    "missing_skes_2": f"{'Skeleton':^20}\tnum_frames\tActor1\tActor2",
    "denoised_failed_1": "",
    "denoised_failed_2": "",
}


@dataclass
class Denoised:
    """joints: (T, 75) or (T, 150) float32, x0 y0 z0 x1 ... of actor 1, then of actor 2, before translation.

    colors: (T0, 1 or 2, 25, 2) float32, NaN where absent, or None; as published not shortened to T.
    logs: lines for the log of that name. actors: text of ``actors_info``, "" where only one id was recorded.
    """

    joints: np.ndarray
    colors: np.ndarray | None
    logs: dict[str, list[str]] = field(default_factory=dict)
    actors: str = ""


def denoise(name: str, scene: Scene) -> Denoised:
    """The actors of recording ``name``.

    Raises:
        ArchiveError: all joints of all frames are zero.
    """
    if len(scene.bodies) == 1:
        body = scene.bodies[0]
        colors = None if body.colors is None else body.colors[:, None]
        _with_content(joints := body.joints.reshape(-1, WIDTH))  # one person: no frame is removed
        return Denoised(joints, colors)
    for body in scene.bodies:
        body.motion = motion(body.joints)
    logs: dict[str, list[str]] = {}
    actors = _listed("bodyID", scene.bodies) + "\n"
    bodies, filtered = _people(name, scene.bodies, logs)
    actors += filtered
    two = sample(name).action in TWO_PERSONS
    if len(bodies) == 1:
        if two:
            logs["denoised_failed_2"] = [name]
        chosen = [bodies]
        actors += f"Main actor: {bodies[0].id}\n"
    else:
        if not two:
            logs["denoised_failed_1"] = [name]
        chosen = _two_actors(bodies)
        actors += f"\n{_listed('Actor1', chosen[0])}\n{_listed('Actor2', chosen[1])}\n"
    joints, colors = _placed(chosen, scene.frames, scene.bodies[0].colors is not None)
    return Denoised(_shortened(name, joints, logs), colors, logs, actors)


def _listed(title: str, bodies: list[Body]) -> str:
    lines = [f"{title:^17}\tInterval\t{'Motion':^8}"]
    lines += [f"{body.id}\t{[body.start, body.end]!s:^8}\t{body.motion:f}" for body in bodies]
    return "\n".join(lines) + "\n"


def _people(name: str, bodies: list[Body], logs: dict[str, list[str]]) -> tuple[list[Body], str]:
    """Without short and flat bodies, the liveliest first; the text of what was done."""
    kept, text = [], ""
    for body in bodies:
        length = len(body.joints)
        if length > SHORTEST:
            kept.append(body)
            continue
        text += f"Filter out: {body.id}, {length} (length).\n"
        logs.setdefault("noise_length", []).append(f"{name}\t{body.id}\t{body.motion:.6f}\t{length:^6d}")
    if not kept:
        kept, text = list(bodies), ""
        logs.pop("noise_length", None)
    text += "\n" if text else ""
    if len(kept) > 1:
        kept, more = _standing(name, kept, logs)
        text += more
    kept.sort(key=lambda body: -body.motion)
    return kept, text


def _standing(name: str, bodies: list[Body], logs: dict[str, list[str]]) -> tuple[list[Body], str]:
    kept, text = list(bodies), ""
    for body in bodies:
        if len(kept) == 1:
            break
        good = upright(body.joints)
        if good.all():
            continue
        ratio = (len(good) - np.count_nonzero(good)) / len(good)
        if ratio >= WORST:
            kept.remove(body)
            text += f"Filter out: {body.id} (spread rate >= {WORST:.2f}).\n"
            logs.setdefault("noise_spread", []).append(f"{name}\t{body.id}\t{body.motion:.6f}\t{ratio:.6f}")
        else:
            lower = min(body.motion, motion(body.joints[good]))
            text += f"{body.id}: motion {body.motion:.6f} -> {lower:.6f}\n"
            body.motion = lower
    return kept, text + ("\n" if text else "")


def _two_actors(bodies: list[Body]) -> list[list[Body]]:
    """Bodies of actor 1 and actor 2, each with its first; a body that overlaps with both is lost.

    Quirks that change the data and are kept: an actor occupies the hull of its bodies; actor 2 begins with frame 0;
    one shared frame is no overlap, and the later body then overwrites it.
    """
    actors: list[list[Body]] = [[bodies[0]], []]
    hulls = [(bodies[0].start, bodies[0].end), (0, 0)]
    for body in bodies[1:]:
        for actor in (0, 1):
            if overlap(hulls[actor], body) <= 0:
                actors[actor].append(body)
                hulls[actor] = (min(body.start, hulls[actor][0]), max(body.end, hulls[actor][1]))
                break
    return actors


def _placed(actors: list[list[Body]], frames: int, colored: bool) -> tuple[np.ndarray, np.ndarray | None]:
    joints = np.zeros((frames, len(actors), WIDTH), np.float32)
    colors = np.full((frames, len(actors), 25, 2), np.nan, np.float32) if colored else None
    for actor, bodies in enumerate(actors):
        for body in bodies:
            joints[body.start : body.end + 1, actor] = body.joints.reshape(-1, WIDTH)
            if colors is not None:
                colors[body.start : body.end + 1, actor] = body.colors
    return joints.reshape(frames, -1), colors


def _shortened(name: str, joints: np.ndarray, logs: dict[str, list[str]]) -> np.ndarray:
    """Without the frames of which the actors are absent."""
    frames = len(joints)
    kept = _with_content(joints)
    if len(kept) < frames:
        logs["missing_skes"] = [f"{name}\t{frames:^10d}\t{frames - len(kept):^11d}"]
    if joints.shape[1] > WIDTH:
        first, second = (joints[:, columns].sum(axis=1) == 0 for columns in (np.s_[:WIDTH], np.s_[WIDTH:]))
        counts = np.count_nonzero(first), np.count_nonzero(second)
        line = f"{name}\t{frames:^10d}\t{counts[0]:^6d}\t{counts[1]:^6d}"
        if counts[0] > counts[1]:
            logs["missing_skes_1"] = [f"{line}\t{first[0]:^5d}\t{first[-1]:^3d}"]
        elif counts[1] > 0:
            logs["missing_skes_2"] = [line]
    return kept


def _with_content(joints: np.ndarray) -> np.ndarray:
    """Without the frames whose float32 sum is exactly 0."""
    there = joints.sum(axis=1) != 0
    if not there.any():
        raise ArchiveError("all its joints are at zero")
    return joints[there]


def translate(joints: np.ndarray) -> np.ndarray:
    """(T, 75 or 150): joint 1 of actor 1, in the first frame that shows that actor, becomes the origin of the clip.

    Where an actor is absent, the frame stays zero.
    """
    seen = joints[:, :WIDTH].any(axis=1)
    origin = joints[seen.argmax(), 3:6]
    moved = joints - np.tile(origin, joints.shape[1] // 3)
    if joints.shape[1] > WIDTH:
        for columns in (np.s_[:WIDTH], np.s_[WIDTH:]):
            moved[joints[:, columns].sum(axis=1) == 0, columns] = 0
    return moved
