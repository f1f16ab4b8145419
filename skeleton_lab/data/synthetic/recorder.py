"""Records synthetic clips: who does what before which camera, and what the sensor makes of it (see ``synthetic``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.synthetic.actions import ACTIONS
from skeleton_lab.data.synthetic.body_model import (
    CHANNELS,
    JOINTS,
    SUBJECTS,
    Pose,
    bodies,
    camera,
    mirror,
    place,
    pose_body,
)
from skeleton_lab.data.synthetic.motion_curves import TAU, Moment, walk

TRAIN_SUBJECTS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
TEST_SUBJECTS = tuple(s for s in range(1, SUBJECTS + 1) if s not in TRAIN_SUBJECTS)
SETUPS, CAMERAS, REPLICATIONS = 17, 3, 999
FPS = 30
TYPICAL_FRAMES = 77  # median; the mean is about 81
HANDSHAKE = 57  # the one action of which convention knows the side
VIEWS = np.radians([-35, 0, 35]).astype(np.float32)

# Where hands may rest, (out, up, forward) of the shoulder in arm lengths, each line equally likely.
REST = np.array(
    [
        *[(0.10, -0.97, 0.06)] * 4,  # at the side
        *[(-0.22, -0.60, 0.42)] * 2,  # before the belly
        (0.10, -0.70, 0.00),  # on the hip
        (-0.10, -0.38, 0.50),  # raised as if holding something
        (-0.15, -0.85, -0.25),  # behind the back
        (-0.25, 0.08, 0.38),  # at the chin
        (-0.05, 0.38, -0.05),  # at the back of the head
    ],
    np.float32,
)
# Standing still is never quite still: amplitude of slow sways per channel.
SWAYS = {
    "roll": 0.025, "twist": 0.08, "pitch": 0.03, "sway": 0.02, "lean": 0.015, "turn": 0.3, "nod": 0.1,
    "right_out": 0.05, "right_up": 0.04, "right_forward": 0.06, "left_out": 0.05, "left_up": 0.04, "left_forward": 0.06,
}  # fmt: skip
NOISE = np.float32(0.006)  # metres: the sensor's error, per frame, and its bias, per clip; extremities are worse
_WORSE = np.array([1] * 6 + [1.3, 1.6, 1, 1, 1.3, 1.6, 1, 1, 1.4, 1.8, 1, 1, 1.4, 1.8, 1, 2, 2, 2, 2], np.float32)
GLITCHES, GLITCH_FRAMES = 2, 4  # at most so many per person, each at most so long


class Lottery:
    """Uniform numbers of some people, handed out in a fixed order: ``next(k)`` is (k, B) float32."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers, self._used = np.ascontiguousarray(numbers.T), 0

    def next(self, k: int = 1) -> np.ndarray:
        self._used += k
        taken = self._numbers[self._used - k : self._used]
        assert len(taken) == k, "more draws than CLIP_DRAWS or PERSON_DRAWS"
        return taken

    def between(self, low: float, high: float) -> np.ndarray:
        return low + (high - low) * self.next()[0]

    def chance(self, share: float) -> np.ndarray:
        return self.next()[0] < share

    def sign(self) -> np.ndarray:
        return np.where(self.next()[0] < 0.5, np.float32(-1), np.float32(1))


CLIP_DRAWS, PERSON_DRAWS = 32, 72


@dataclass(frozen=True)
class Plan:
    """Who does what where, for B clips; integer arrays (B,). Labels are 0-based, the rest counts from 1."""

    label: np.ndarray
    subject: np.ndarray
    partner: np.ndarray
    camera: np.ndarray
    setup: np.ndarray
    replication: np.ndarray

    def names(self, copy: np.ndarray, distinct: int) -> np.ndarray:
        """``SsssCcccPpppRrrrAaaa`` (B,); ``copy`` counts the repetitions of an archive with so many distinct clips."""
        blocks = CAMERAS * len(TRAIN_SUBJECTS) * SETUPS
        per_copy = 1 + distinct // blocks
        replication = (self.replication - 1 + copy * per_copy) % REPLICATIONS + 1
        rows = zip(self.setup, self.camera, self.subject, replication, self.label + 1)
        return np.array(["S{:03d}C{:03d}P{:03d}R{:03d}A{:03d}".format(*row) for row in rows], dtype="<U20")


class Recorder:
    """Makes the clips of one split of one archive, any of them at any time."""

    def __init__(self, seed: int, split: str, labels: list[int], frames: int) -> None:
        self.seed, self.labels, self.frames = seed, np.array(labels), frames
        self.shape = (frames, 150)
        self._split = {"train": 0, "test": 1}[split]
        self._subjects = np.array((TRAIN_SUBJECTS, TEST_SUBJECTS)[self._split])
        self._lengths = bodies()

    def random(self, purpose: int, number: int) -> np.random.Generator:
        """What a clip (1), a block of clips (0) or the pictures of a clip (2) depend on."""
        key = np.array([self.seed, (number << 4) | (purpose << 1) | self._split], np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def plan(self, index: np.ndarray) -> Plan:
        """The clips of a block have one class each; blocks go through subjects, cameras, setups, replications."""
        classes = len(self.labels)
        block, place_in_block = np.divmod(index, classes)
        label = np.empty(len(index), np.int64)
        for b in np.unique(block):
            chosen = block == b
            label[chosen] = self.labels[self.random(0, int(b)).permutation(classes)[place_in_block[chosen]]]
        people = len(self._subjects)
        later, person = block // (people * CAMERAS), block % people
        partner = (person + 1 + (block // people + label) % (people - 1)) % people
        return Plan(
            label=label,
            subject=self._subjects[person],
            partner=self._subjects[partner],
            camera=1 + block % CAMERAS,
            setup=1 + later % SETUPS,
            replication=1 + later // SETUPS % REPLICATIONS,
        )

    def record(self, index: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out (B, frames, 150)`` float32 with the clips ``index (B,)``."""
        plan = self.plan(index)
        generators = [self.random(1, int(i)) for i in index]
        draw = Lottery(np.stack([g.random(CLIP_DRAWS + 2 * PERSON_DRAWS, np.float32) for g in generators]))
        scene = _Scene(plan, draw, self.frames)
        rows = _packed(scene, self._lengths)
        out[:] = 0
        for clip, (n, random) in enumerate(zip(scene.n, generators)):
            persons = 1 + int(scene.second[clip])
            noise = random.standard_normal((n, persons * 75), np.float32)
            bias = random.standard_normal(persons * 75, np.float32)
            for person in range(persons):
                columns = slice(75 * person, 75 * person + 75)
                body = 1 - person if scene.swapped[clip] else person
                target = out[clip, :n, columns]
                np.multiply(noise[:, columns] + bias[columns], np.repeat(NOISE * _WORSE, 3), out=target)
                target += rows[body][clip]
                _glitch(target, random)
            _finish(out[clip, :n], scene.hidden[:, clip] if persons == 2 else None)


class Resampled:
    """The clips of ``recorder``, each as ``frames`` evenly spaced frames of what is not padding."""

    def __init__(self, recorder: Recorder, frames: int) -> None:
        self._recorder, self.frames, self.plan = recorder, frames, recorder.plan
        self.shape = (frames, 150)

    def record(self, index: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out (B, frames, 150)`` float32 with the clips ``index (B,)``."""
        whole = np.empty((min(len(index), 64), self._recorder.frames, out.shape[2]), np.float32)
        for begin in range(0, len(index), 64):
            some = index[begin : begin + 64]
            self._recorder.record(some, whole[: len(some)])
            for clip, sampled in zip(whole, out[begin : begin + len(some)]):
                last = np.flatnonzero(clip.any(axis=1))[-1]
                sampled[:] = clip[np.linspace(0, last, self.frames).round().astype(np.int64)]


def _glitch(clip: np.ndarray, random: np.random.Generator) -> None:
    """Now and then the sensor loses a joint for some frames and puts it elsewhere; clip (n, 75) in place."""
    where, shift = random.random((GLITCHES, 4)), random.normal(0, 0.10, (GLITCHES, 3))
    for (happens, joint, begin, frames), away in zip(where, shift):
        if happens < 0.3:
            first, column = int(begin * len(clip)), 3 * int(joint * JOINTS)
            clip[first : first + 1 + int(frames * GLITCH_FRAMES), column : column + 3] += away.astype(np.float32)


def _finish(clip: np.ndarray, hidden: np.ndarray | None) -> None:
    """Move the origin, blank the frames in which person 1 is not seen; clip (n, 150)."""
    origin = np.tile(clip[0, 3:6], JOINTS)
    clip[:, :75] -= origin
    if hidden is not None:
        clip[:, 75:] -= origin
        clip[: hidden[0], 75:] = 0
        clip[hidden[1] :, 75:] = 0


class _Scene:
    """Everything about B clips that is one number per clip."""

    def __init__(self, plan: Plan, draw: Lottery, frames: int) -> None:
        self.plan = plan
        self.mutual = np.array([ACTIONS[label].persons == 2 for label in plan.label])
        spread = np.sqrt(-2 * np.log(1 - draw.next()[0])) * np.cos(TAU * draw.next()[0])
        typical = min(TYPICAL_FRAMES, 0.75 * frames)
        self.n = np.clip(np.rint(typical * np.exp(0.32 * spread)), min(20, frames), frames).astype(np.int64)

        begin, end = draw.between(-0.02, 0.32), draw.between(0.70, 1.02)
        self.begin, self.length = begin * self.n, (end - begin) * self.n
        self.tempo, self.amount, self.free = draw.between(0.8, 1.25), draw.between(0.8, 1.2), draw.next(4)
        self.left_handed = draw.chance(0.5) & (plan.label != HANDSHAKE)
        self.steps_in = np.where(draw.chance(0.2) & ~self.mutual, draw.between(0.3, 0.9) * draw.sign(), 0)

        heading, view = draw.between(-0.40, 0.40), VIEWS[plan.camera - 1]
        tilt = np.radians(-8 + 16 * ((plan.setup * 7) % SETUPS) / SETUPS) + draw.between(-0.03, 0.03)
        self.turn = camera(heading + view, tilt.astype(np.float32), draw.between(-0.03, 0.03))

        bystander = ~self.mutual & draw.chance(0.05)
        self.second = self.mutual | bystander
        self.swapped = self.mutual & draw.chance(0.5)
        self._stand(draw, bystander)
        self._hide(draw, bystander)
        self.person = (Lottery(draw.next(PERSON_DRAWS).T), Lottery(draw.next(PERSON_DRAWS).T))

    def _stand(self, draw: Lottery, bystander: np.ndarray) -> None:
        """Headings (2, B) and places (2 persons, 2, B): one faces the camera, two face each other."""
        side, gap = draw.sign(), draw.between(0.84, 0.98)
        across = side * np.float32(np.pi / 2)
        zero = np.zeros_like(gap)
        alone = np.stack([zero, zero])
        # A bystander is somewhere to the side and behind, and looks at the actor.
        away = np.stack([side * draw.between(0.9, 1.6), draw.between(0.2, 1.2)])
        apart = np.stack([side * gap / 2, zero])
        self.heading = np.where(self.mutual, np.stack([across, -across]), np.stack([zero, side * draw.between(0, 1)]))
        self.spot = np.where(self.mutual, np.stack([apart, -apart]), np.stack([alone, away]))

    def _hide(self, draw: Lottery, bystander: np.ndarray) -> None:
        """Frames (2, B) between which person 1 is seen: the sensor finds a bystander late and may lose anybody."""
        late = np.where(bystander & draw.chance(0.5), draw.between(0.1, 0.6), 0)
        lost = np.where(draw.chance(0.1), draw.between(0.8, 1), 1)
        self.hidden = np.stack([late * self.n, np.ceil(lost * self.n)]).astype(np.int64)


def _idle(pose: Pose, draw: Lottery, clip: np.ndarray, n: np.ndarray, seconds: np.ndarray) -> None:
    """Fill a pose with a person's way of standing: posture, hands, slow sways, now and then a meaningless gesture."""

    def spread(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[..., clip], n, axis=-1)

    for name, size in (("pitch", 0.15), ("nod", 0.28), ("roll", 0.05), ("twist", 0.12), ("lean", 0.03)):
        pose[name] += spread(draw.between(-size, size))
    pose["rise"] -= spread(draw.between(0, 0.03))
    same = draw.chance(0.5)
    left = draw.next()[0]
    right = np.where(same, left, draw.next()[0])
    for side, choice in (("right", right), ("left", left)):
        rest = REST[(choice * len(REST)).astype(int)].T + 0.25 * (draw.next(3) - 0.5)
        pose[side] += spread(rest)
        pose[f"{side}_elbow"] += spread(draw.between(0, 0.5))
        pose[f"{side}_foot"][0] += spread(draw.between(-0.02, 0.10))
        pose[f"{side}_foot"][2] += spread(draw.between(-0.12, 0.12))
    for name, size in SWAYS.items():
        hertz, phase, much = draw.between(0.1, 0.45), draw.next()[0], draw.between(0.2, 1.2)
        pose[name] += spread(size * much) * np.sin(TAU * (spread(hertz) * seconds + spread(phase)))
    _fidget(pose, draw, spread, seconds)


def _fidget(pose: Pose, draw: Lottery, spread, seconds: np.ndarray) -> None:
    happens, at, takes = draw.chance(0.35), draw.between(0, 2.5), draw.between(0.8, 1.6)
    middle, extent = np.array([[-0.2, -0.1, 0.45], [0.5, 0.7, 0.3]], np.float32)[:, :, None]
    goal = middle + extent * (draw.next(3) - 0.5)
    x = np.clip((seconds - spread(at)) / spread(takes), 0, 1)
    weight = spread(happens.astype(np.float32)) * np.sin(np.float32(np.pi) * x) ** 2
    pose["left"] += 0.8 * weight * (spread(goal) - pose["left"])


def _packed(scene: _Scene, lengths: np.ndarray) -> tuple[dict, dict]:
    """The true joints of all people: for actor and partner a dict clip -> (n, 75)."""
    order = np.argsort(scene.plan.label, kind="stable")
    first, second = order, order[scene.second[order]]
    clips = np.concatenate([first, second])
    n = scene.n[clips]
    ends = np.cumsum(n)
    starts = ends - n
    frame = (np.arange(ends[-1]) - np.repeat(starts, n)).astype(np.float32)
    split = ends[len(first) - 1]

    pose = Pose(np.zeros((len(CHANNELS), ends[-1]), np.float32))
    for part, draw, mine in ((slice(0, split), scene.person[0], first), (slice(split, None), scene.person[1], second)):
        if len(mine):
            _idle(pose.part(part), draw, mine, scene.n[mine], frame[part] / FPS)
    _act(pose, scene, clips, n, frame, len(first))
    mirror(pose.rows, np.repeat(scene.left_handed[clips], n))

    body = np.arange(len(clips)) >= len(first)
    subject = np.where(body, scene.plan.partner[clips], scene.plan.subject[clips])
    joints = pose_body(pose, np.repeat(lengths[subject].T, n, axis=1))
    heading = np.repeat(scene.heading[body.astype(int), clips], n)
    spot = np.repeat(scene.spot[body.astype(int), :, clips].T, n, axis=1)
    joints = place(joints, pose, heading, spot, np.repeat(scene.turn[:, :, clips], n, axis=2))
    rows = np.ascontiguousarray(joints.reshape(75, -1).T)
    parts = [rows[a:b] for a, b in zip(starts, ends)]
    return dict(zip(first, parts)), dict(zip(second, parts[len(first) :]))


def _act(pose: Pose, scene: _Scene, clips: np.ndarray, n: np.ndarray, frame: np.ndarray, actors: int) -> None:
    """Let the actors (the first ``actors`` of ``clips``) and their partners do what the label says."""
    numbers = np.stack([scene.begin, scene.length, scene.tempo, scene.amount, scene.steps_in, *scene.free])
    begin, length, tempo, amount, steps, *free = np.repeat(numbers[:, clips].astype(np.float32), n, axis=1)
    moment = Moment((frame - begin) / length, length / FPS, tempo, amount, np.stack(free))
    ends = np.concatenate([[0], np.cumsum(n)])
    labels = scene.plan.label[clips]
    for label in np.unique(labels):
        action = ACTIONS[label]
        mine = np.flatnonzero(labels == label)
        mine, partners = mine[mine < actors], mine[mine >= actors]
        here = slice(ends[mine[0]], ends[mine[-1] + 1])
        partner = None
        if action.persons == 2:
            partner = pose.part(slice(ends[partners[0]], ends[partners[-1] + 1]))
        m = moment.part(here)
        actor = pose.part(here)
        action.move(actor, partner, m)
        walk(actor, m, -0.25, 0.02, steps[here])
