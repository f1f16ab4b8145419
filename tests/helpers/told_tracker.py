"""A tracker for the tests of --track: it keeps what it is told, in place of a server."""

from __future__ import annotations

TOLD: list[tuple] = []


class Told:
    """Keeps what it is told; ``fails``: at that method."""

    id, fails = "one", ""

    def __init__(self, work_dir, settings, earlier, say):
        TOLD.append(("open", work_dir.name, settings["base_lr"], earlier))
        self._fail("open")

    def _fail(self, method):
        if method == self.fails:
            raise ConnectionError("no\nserver")

    def __getattr__(self, method):
        if method not in ("add", "flush", "result", "close"):
            raise AttributeError(method)
        return lambda *arguments: (TOLD.append((method, *arguments)), self._fail(method))
