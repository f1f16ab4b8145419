"""Which skeleton recordings have: one for all, as ``--skeleton`` says, their names of joints, or how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skeleton_lab.errors import UsageError, listing
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.reading import Keypoints
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout

LONGER = {136: "halpe26"}  # joints of orders that go on behind another's: Halpe's full body


class Skeletons:
    """Tells the layout of each recording, and that all have the same.

    Args:
        wish: of ``--skeleton``, or None. of_network: it is a network's, and no flag's; told: and the user has
            named it as that of the recordings, by ``--keypoints``. notices: where it is said that they are taken to
            have a longer one.
    """

    def __init__(
        self, wish: Layout | None, of_network: bool = False, told: bool = False, notices: Notices | None = None
    ) -> None:
        self.wish, self._told, self._notices = wish, told, notices
        self._of_network = of_network
        self._first: tuple[Layout, str] | None = None

    @property
    def layout(self) -> Layout:
        """Of all recordings so far."""
        assert self._first is not None
        return self._first[0]

    @property
    def _wished(self) -> str:
        """What messages say about the wish."""
        assert self.wish is not None
        if self._of_network:
            return f", and the network takes {self.wish.V} ({self.wish.name})"
        return f", and --skeleton {self.wish.name} has {self.wish.V}"

    def choose(self, V: int, where: str) -> Layout:
        """The layout of so many joints; of a longer one that has all joints of the wish by name, that.

        Raises:
            UsageError: none, or several.
        """
        fitting = [each for each in layouts.known().values() if each.V == V]
        if self.wish is not None:
            if self.wish.V == V:
                return self.wish
            longer = [each for each in fitting if set(self.wish.joints) <= set(each.joints)]
            if longer:
                return self._longer(longer[0], self.wish, where)
            names = f" ({' or '.join(each.name for each in fitting)})" if fitting else ""
            raise UsageError(f"{where} has {V} joints{names}{self._wished}")
        if V in LONGER:
            return layouts.layout(LONGER[V])
        if len(fitting) == 1:
            return fitting[0]
        known = " or ".join(each.name for each in fitting)
        raise UsageError(
            f"{where}: {V} joints "
            + (f"can be {known}; name it with --skeleton" if fitting else "are those of no known skeleton")
            + ("" if fitting else "; describe them in a file and give it with --skeleton FILE.yaml")
        )

    def _longer(self, found: Layout, wish: Layout, where: str) -> Layout:
        """Say what recordings are taken for, unless it begins with the wish's joints, as Halpe's does with COCO's."""
        if found.joints[: wish.V] != wish.joints:
            if self._told:
                raise UsageError(
                    f"{where} has {found.V} joints, and --keypoints {wish.name} has {wish.V}; leave it out if they are "
                    f"{found.name}'s, which has all of the network's"
                )
            if self._notices is not None:
                line = f"{where}: {found.V} joints are taken for {found.name}'s, of which those of {wish.name} are read"
                self._notices.add("longer", where, line)
        return found

    def named(self, names: Sequence[str], where: str) -> tuple[Layout, list[int]] | None:
        """The layout with joints of these names, and the place of each of its joints among them.

        Of joints with other names the number decides (None).

        Raises:
            UsageError: no known skeleton has these names, or so many joints.
        """
        plain = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in names]
        known = [self.wish] if self.wish is not None else layouts.known().values()
        for each in known:
            wanted = set(each.joints)
            if wanted == set(plain) or (each is self.wish and wanted <= set(plain)):
                return each, [plain.index(joint) for joint in each.joints]
        if self.wish is None and all(len(plain) != each.V for each in layouts.known().values()):
            raise UsageError(
                f"{where}: its joints ({listing(names)[:300]}) are those of no known skeleton; describe them in a file "
                "and give it with --skeleton FILE.yaml"
            )
        return None

    def settled(self, found: Keypoints, source: Layout, where: str) -> Keypoints:
        """A recording in the layout of all: the wish, or that of the first recording.

        Raises:
            UsageError: it has another skeleton than those before.
        """
        if self.wish is not None and source != self.wish:
            if not set(self.wish.joints) <= set(source.joints):
                raise UsageError(f"{where} has {source.V} joints ({source.name}){self._wished}")
            joints = [source.at(joint) for joint in self.wish.joints]
            found, source = picked(found, joints), self.wish
        if self._first is None:
            self._first = source, where
        if source != self.layout:
            first = self._first[1]
            raise UsageError(
                f"mixed skeletons: {first} has {self.layout.V} joints ({self.layout.name}), {where} has {source.V} "
                f"({source.name}); keep one kind in the labels, or name one that all have with --skeleton"
            )
        return found


def picked(found: Keypoints, joints: Sequence[int]) -> Keypoints:
    """Only these joints, in this order."""
    at = np.asarray(joints)
    scores = None if found.scores is None else found.scores[..., at]
    return found._replace(points=found.points[:, :, at], found=found.found[..., at], scores=scores)
