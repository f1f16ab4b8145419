"""What a reader has decided or left out, for the user: one line of each kind, however many recordings it is true of."""

from __future__ import annotations

from skeleton_lab.errors import printable


class Notices:
    """Collects lines by kind and recording; the same line of one recording counts once."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, str]] = {}

    def add(self, kind: str, recording: str, line: str) -> None:
        self._told.setdefault(kind, {}).setdefault(recording, line)

    def forget(self, kind: str) -> None:
        """Drop the lines of a kind: what they warn of has been taken care of."""
        self._told.pop(kind, None)

    def lines(self) -> list[str]:
        """The first line of every kind, and of how many more recordings something like it could be said."""
        made = []
        for told in self._told.values():
            first = next(iter(told.values()))
            made.append(printable(first) + (f" (the like of {len(told) - 1} more)" if len(told) > 1 else ""))
        return made


class Without(Notices):
    """Passes all lines on but those of one kind, which warn of what does not matter here."""

    def __init__(self, kind: str, others: Notices) -> None:
        super().__init__()
        self._kind, self._others = kind, others

    def add(self, kind: str, recording: str, line: str) -> None:
        if kind != self._kind:
            self._others.add(kind, recording, line)

    def forget(self, kind: str) -> None:
        self._others.forget(kind)
