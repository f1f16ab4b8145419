"""A start from weights of other classes, another skeleton, other coordinates or people: what these decide begins anew.

Which entries that are is not guessed from their names. The network of the run is built a second time with another
number of classes (of coordinates, of people; on other skeletons); the entries that come out in another shape are those
that depend on it. The rest has to fit as always, so weights of another width or depth are refused.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor, nn

from skeleton_lab.engine import size_checks, skeleton
from skeleton_lab.engine.checkpoint import random_states, restore_random_states
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.network import make_net
from skeleton_lab.errors import LabError
from skeleton_lab.skeletons import layouts
from skeleton_lab.utils.importing import import_class

Shapes = Mapping[str, torch.Size]
SHOWN = 2  # names of entries in a line
CLASSES, SKELETON, COORDINATES, PEOPLE = "classes", "skeleton", "coordinates", "people"
ANEW = {
    CLASSES: "the classifier", SKELETON: "what depends on the joints", COORDINATES: "what reads the coordinates",
    PEOPLE: "what depends on the number of people",
}  # fmt: skip
NUMBERS = {CLASSES: size_checks.CLASSES, COORDINATES: size_checks.CHANNELS, PEOPLE: size_checks.PEOPLE}
PROBES = ("ntu25", "coco17", "panoptic19")  # of other joints and other diameters
USUAL = {COORDINATES: (2, 3, 9), PEOPLE: (1, 2, 3)}  # x y, x y z or a score; with bones and motion


@dataclass(frozen=True)
class Decided:
    """What one thing decides: ``entries`` whose shape another choice changes, ``always`` those that every one does."""

    entries: frozenset[str] = frozenset()
    always: frozenset[str] = frozenset()


class Transfer:
    """Chooses the entries of a file that a network does not take over, because they belong to other data.

    Args:
        options: of the run; net: its network.

    Attributes:
        anew: the entries that begin anew; loaded: those that came from the file. Both once ``choose`` was called.
    """

    def __init__(self, options: Options, net: nn.Module) -> None:
        self._options, self._net = options, net
        self._known: dict[str, Decided] = {}
        self._theirs: str | None = None  # the skeleton of the weights, where that is told
        self.anew: frozenset[str] = frozenset()
        self.loaded: frozenset[str] = frozenset()

    @property
    def classifier(self) -> frozenset[str]:
        """The entries whose shape the number of classes decides; empty where the network has no such argument."""
        return self._decided(CLASSES).entries

    def choose(self, own: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> tuple[set[str], str]:
        """The entries of ``weights`` that begin anew, and the line that says so; none and "" where all fit.

        Where entries do not fit that nothing of this explains, none is chosen: the file is refused by its loader.
        """
        wrong = {key for key in weights if key in own and own[key].shape != weights[key].shape}
        self._theirs = skeleton_beside(path, self._options)
        why = self._why(wrong)
        self.anew = frozenset().union(*(self._decided(cause).entries for cause in why))
        self.loaded = frozenset(weights) & frozenset(own) - self.anew
        return set(self.anew), self._line(path, why, own, weights) if why else ""

    def _why(self, wrong: set[str]) -> tuple[str, ...]:
        """The fewest causes, in the order of ``ANEW``, that explain all of the entries that do not fit; () if none do.

        A cause counts only if everything that it always changes does not fit: the batch norm in front of a network
        depends on people, joints and coordinates alike. A skeleton of as many joints shows in no shape, only in the
        configuration beside the weights.
        """
        told: tuple[str, ...] = ()
        rest = wrong
        if self._theirs not in (None, skeleton.configured(self._options)):
            told, rest = (SKELETON,), wrong - self._decided(SKELETON).entries
        likely: list[str] = []
        for cause in ANEW if rest else ():
            decided = self._decided(cause)
            if not decided.always or not decided.always <= wrong:
                continue
            for count in range(len(likely) + 1):
                for others in combinations(likely, count):
                    entries = (self._decided(each).entries for each in (*others, cause))
                    if rest <= frozenset().union(*entries):
                        return tuple(each for each in ANEW if each in (*told, *others, cause))
            likely.append(cause)
        return () if rest else told

    def _decided(self, cause: str) -> Decided:
        if cause not in self._known:
            own = _shapes(self._net)
            changes = [_changed(own, _shapes(net)) for net in self._others(cause)]
            changes = [names for names in changes if names]
            found = Decided(frozenset().union(*changes), frozenset.intersection(*changes)) if changes else Decided()
            self._known[cause] = found
        return self._known[cause]

    def _others(self, cause: str) -> list[nn.Module]:
        """The same network for another choice of ``cause``; those that cannot be built are left out."""
        states = random_states(torch.device("cpu"))
        made = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that nobody trains
            for options in self._variants(cause):
                with contextlib.suppress(LabError):
                    made.append(make_net(options))
        restore_random_states(states, torch.device("cpu"))
        return made

    def _variants(self, cause: str) -> Iterable[Options]:
        if cause == SKELETON:
            yield from self._on_other_skeletons()
            return
        arguments, network = self._options.model_args, import_class(self._options.model, "model")
        names = NUMBERS.get(cause, ())
        told = size_checks.told(names, arguments, network)
        taken = {*arguments, *inspect.signature(network).parameters}
        name = next((name for name in names if name in taken), None)
        if told is None or name is None:
            return
        for number in USUAL.get(cause, (told + 1,)):
            if number != told:
                changed = copy.copy(self._options)
                changed.model_args = {**arguments, name: number}
                yield changed

    def _on_other_skeletons(self) -> Iterable[Options]:
        own = skeleton.configured(self._options)
        for name in PROBES:
            if name != own:
                changed = copy.copy(self._options)
                with contextlib.suppress(LabError):  # a room without graphs of any skeleton, a network without a graph
                    arguments = skeleton.replaced(changed, layouts.layout(name), None)
                    changed.model_args = {**changed.model_args, **arguments}
                    yield changed

    def _line(self, path: Path, why: tuple[str, ...], own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
        parts, said = [], set()
        for cause in why:
            entries = [key for key in own if key in self._decided(cause).entries - said]
            said.update(entries)
            if entries:
                more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
                parts.append(f"{ANEW[cause]} ({', '.join(entries[:SHOWN])}{more})")
        kind = ", and of ".join(self._kind(cause, own, weights) for cause in why)
        begin = "begins" if len(parts) == 1 else "begin"
        loaded = f"{len(self.loaded)} of {len(own)} entries are loaded"
        return f"{path} is of {kind}: {' and '.join(parts)} {begin} anew; {loaded}."

    def _kind(self, cause: str, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
        """``60 classes, not 5``, ``another skeleton``."""
        if cause == CLASSES:
            key = next(key for key in own if key in self.classifier and key in weights)
            sizes = [(theirs, ours) for theirs, ours in zip(weights[key].shape, own[key].shape) if theirs != ours]
            return f"{sizes[0][0]} classes, not {sizes[0][1]}" if sizes else "other classes"
        if cause == SKELETON:
            ours = skeleton.configured(self._options)
            told = self._theirs not in (None, ours)
            return f"the skeleton {self._theirs}, not {ours}" if told else "another skeleton"
        return f"another number of {cause}"


def skeleton_beside(path: Path, options: Options) -> str | None:
    """The skeleton of the network that weights are of, by the config.yaml that its run left beside them."""
    for folder in (path.parent, path.parent.parent):
        config = folder / "config.yaml"
        if not config.is_file():
            continue
        with contextlib.suppress(LabError):  # it cannot be read, or is of a graph that is not here
            content = yaml_file.read(config)
            if content.get("model") == options.model and isinstance(content.get("model_args"), dict):
                theirs = copy.copy(options)
                theirs.model_args, theirs.feeder = content["model_args"], str(content.get("feeder", options.feeder))
                return skeleton.configured(theirs)
        return None
    return None


def _shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in net.state_dict().items()}


def _changed(own: Shapes, other: Shapes) -> frozenset[str]:
    """The entries of ``own`` that ``other`` lacks or has in another shape."""
    return frozenset(key for key, shape in own.items() if other.get(key) != shape)
