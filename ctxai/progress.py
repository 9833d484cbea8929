"""Progress bars on stderr, silent when it is no terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ctxai.interrupts import raise_interrupt

T = TypeVar("T")

#: One line for every epoch of a training; the command line shows it where there is no terminal for a bar.
epochs = logging.getLogger("ctxai.epochs")

# The streams of a notebook call themselves terminals; it gets plain text.
console = Console(stderr=True, force_jupyter=False, force_terminal=False if "ipykernel" in sys.modules else None)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` with a progress bar named ``description``."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with _bar() as progress:
        for item in progress.track(items, total=total, description=description):
            raise_interrupt()
            yield item


def run_jobs(function: Callable[..., T], jobs: list[tuple], description: str, workers: int = 0) -> Iterator[T]:
    """Results of ``function(*job)`` for every job, in the order they finish, with a progress bar.

    Args:
        function: a function of a module (workers import it).
        jobs: arguments of each call.
        description: name of the bar.
        workers: processes; 0 or 1 runs in this one.

    Raises:
        whatever a job raises first; jobs not yet begun are cancelled.
    """
    if workers <= 1 or len(jobs) <= 1:
        for job in track(jobs, description):
            yield function(*job)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(function, *job) for job in jobs]
        try:
            for future in track(as_completed(futures), description, total=len(futures)):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _bar() -> Any:
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def quiet_lightning() -> None:
    """Lightning's remarks on hardware and products only where ``CTXAI_LOG`` asks for them; before a trainer is made."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger("ctxai").getEffectiveLevel()))
