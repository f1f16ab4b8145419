"""Ids of people, for as long as they are seen."""

from __future__ import annotations

from collections.abc import Sequence

from skeleton_lab.inference.keypoints.tracking import Person, Tracker


class Identities:
    """The id of each person: the number that the source's tracker gives, else one counted up from 0.

    Who has no number is followed as in a recorded file (``tracking.Tracker``); somebody without one who is gone for
    more than a second has another id afterwards.

    Args:
        least: score of a joint that was found.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self.forget()

    def forget(self) -> None:
        """Nobody is known any more."""
        self._tracker = Tracker(self._least, forgetful=True)
        self._of_slot: dict[int, int] = {}
        self._next = 0

    def __call__(self, number: int, people: Sequence[Person]) -> dict[int, Person]:
        """The people of a frame by their ids; those of whom no joint was found are left out."""
        followed = self._tracker.follow(number, people)
        self._of_slot = {slot: id for slot, id in self._of_slot.items() if slot in self._tracker}
        for slot, body in followed.items():
            if slot not in self._of_slot:
                self._of_slot[slot] = self._free(body.person.track)
        return {self._of_slot[slot]: body.person for slot, body in followed.items()}

    def _free(self, told: int | None) -> int:
        taken = set(self._of_slot.values())
        if told is not None and told not in taken:
            return told
        while self._next in taken:
            self._next += 1
        self._next += 1
        return self._next - 1
