"""A cluster asks a run to save by SIGUSR1 or SIGUSR2, to every process of a job, more than once: no hurry."""

from __future__ import annotations

import os
import signal

import pytest

from skeleton_lab.engine.signals import Stop, Stopped


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGUSR2])
def test_repeated_requests_do_not_hurry_and_a_second_sigterm_does(signum):
    with Stop() as stop:
        stop.patient = True
        for _ in range(3):
            os.kill(os.getpid(), signum)
        assert stop.signum == signum
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
    with Stop() as stop:
        stop.patient = True
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signum)  # passed on by a job whose training has the cluster's signal already
        assert stop.signum == signal.SIGTERM


@pytest.mark.usefixtures("foreground")
def test_outside_of_the_training_a_request_acts_at_once():
    with Stop(), pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGUSR1)
