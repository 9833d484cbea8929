"""Common to commands with a local page: telling its address, opening it, and ending in order."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import webbrowser
from collections.abc import Iterator

from rich.console import Console


@contextlib.contextmanager
def until_told_to_end() -> Iterator[None]:
    """End the block in order, and quietly, on Ctrl-C, a request to end, or when the terminal goes."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in signals}
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(text: str) -> None:
    """Print a line for a person or a script."""
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def open_browser(url: str, browser: bool) -> None:
    """Open a browser where there is a screen; one that draws text in the terminal is of no use."""
    screen = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if browser and screen:
        webbrowser.open(url)
