"""A Ctrl-C at a moment when Python drops exceptions still ends the work."""

import signal

import pytest

from ctxai.interrupts import keep_interrupts, raise_interrupt
from ctxai.progress import track

from dropped_interrupt import interrupt_in_destructor


def test_a_dropped_interrupt_is_raised_at_the_next_item(interruptible):
    done = []
    with pytest.raises(KeyboardInterrupt), keep_interrupts():
        for item in track(range(5), "items"):
            if item == 2:
                interrupt_in_destructor()
            done.append(item)
    assert done == [0, 1, 2]
    raise_interrupt()  # it is over


def test_an_interrupt_is_raised_where_it_comes_and_the_handler_is_put_back(interruptible):
    with pytest.raises(KeyboardInterrupt), keep_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_job_in_the_background_goes_on_ignoring_it(interruptible):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with keep_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise_interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
