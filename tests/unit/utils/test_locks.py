"""A lock that is held is refused; one that is only looked at is not."""

from __future__ import annotations

import fcntl
import threading

import pytest

from skeleton_lab.errors import LabError
from skeleton_lab.utils import locks


def taken(file):
    return locks.locked(file, lambda who: LabError(f"taken{who}"))


def test_a_look_refuses_nobody(tmp_path):
    file = tmp_path / "lock"
    with open(file, "w+") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.01, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with taken(file):
            assert locks.held(file)
    assert not locks.held(file)


def test_a_lock_that_stays_is_refused(tmp_path):
    file = tmp_path / "lock"
    with taken(file), pytest.raises(LabError, match=r"taken \(process \d+ on "), taken(file):
        pass
