"""One thread per process, here and in the programs that tests start, and a cache of the test run's own."""

from __future__ import annotations

import os
import signal

os.environ["OMP_NUM_THREADS"] = "1"  # two busy processes with two threads each are far slower than with one

os.environ["SKELETON_LAB_CONTAINER"] = "0"  # wherever the tests run, programs say the same

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The first container test of a process builds all images, or waits for another process that does."""
    for item in items:
        if item.get_closest_marker("docker") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Archives that tests unpack go to a temporary folder, unless the environment names one."""
    if "SKELETON_LAB_CACHE" in os.environ:
        yield
        return
    os.environ["SKELETON_LAB_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["SKELETON_LAB_CACHE"]


@pytest.fixture(scope="session")
def images() -> str:
    """All images, just built; what the build said. Skips where containers cannot be run."""
    from containers import build_all

    return build_all()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a small archive of every kind that rooms read."""
    import tiny_data

    return tiny_data.make_all(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def lab(root, monkeypatch):
    """Runs the rooms' programs in folders below ``root``."""
    from sandbox import Lab

    return Lab(root, monkeypatch)


@pytest.fixture
def foreground():
    """Signals mean what they mean in a terminal, although ``nohup`` or ``&`` may have started the tests."""
    usual = {
        signal.SIGHUP: signal.SIG_DFL, signal.SIGQUIT: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler,
    }  # fmt: skip
    before = {signum: signal.signal(signum, handler) for signum, handler in usual.items()}
    yield
    for signum, handler in before.items():  # None: not of Python's making
        signal.signal(signum, handler or signal.SIG_DFL)
