"""Ctrl-C that is not lost where Python drops exceptions: in a destructor, or in a generator that is closed."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()


@contextmanager
def keep_interrupts() -> Iterator[None]:
    """Remember a Ctrl-C until the block ends, so that :func:`raise_interrupt` can raise it again.

    Python does not print a traceback of one that it drops.

    It changes nothing outside the main thread, where no signal arrives, and where another handler is in place.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        _asked.set()
        raise KeyboardInterrupt

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, report
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _asked.clear()


def raise_interrupt() -> None:
    """Raise the Ctrl-C that came and was dropped; long work calls it between two of its parts.

    Raises:
        KeyboardInterrupt: when there was one.
    """
    if _asked.is_set():
        raise KeyboardInterrupt
