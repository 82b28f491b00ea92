"""A signal never comes between starting a process and being able to stop it, and is never lost."""

import os
import signal
import threading

import pytest

from sortline.core.interrupts import Interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_starting_waits_until_it_can_be_cleaned_up_after(number: int) -> None:
    steps = []

    def work() -> None:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), number)
            steps.append("started")
            try:
                interrupts.let_through()
                steps.append("ran")
            finally:
                interrupts.hold()
                steps.append("stopped")

    with pytest.raises(KeyboardInterrupt, match=f"signal {number}"):
        work()
    assert steps == ["started", "stopped"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_running_interrupts_and_one_while_stopping_comes_after_it(
    number: int,
) -> None:
    steps = []

    def work(*, running: bool) -> None:
        with Interrupts() as interrupts:
            try:
                interrupts.let_through()
                if running:
                    os.kill(os.getpid(), number)
                    steps.append("never")
            finally:
                interrupts.hold()
                os.kill(os.getpid(), number)
                steps.append("stopped")

    for running in (True, False):
        with pytest.raises(KeyboardInterrupt):
            work(running=running)
    assert steps == ["stopped", "stopped"]


def test_the_handlers_of_before_come_back_and_other_threads_are_left_alone() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with Interrupts():
        assert [signal.getsignal(each) for each in SIGNALS] != before
    assert [signal.getsignal(each) for each in SIGNALS] == before

    def elsewhere() -> None:
        with Interrupts() as interrupts:
            interrupts.let_through()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert [signal.getsignal(each) for each in SIGNALS] == before
