"""A Ctrl-C at a moment when Python drops it."""

import signal
from collections.abc import Iterator

import pytest


class _Interrupting:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def interrupt_in_destructor() -> None:
    """Get a Ctrl-C in a destructor, whose exceptions Python prints and drops."""
    _Interrupting()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own answer to Ctrl-C, also in a worker process, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
