"""Delivery of objects to a peer: retried with growing pauses, and recorded object by object."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctxai.errors import PacsError
from ctxai.pacs.client import Outcome, PacsClient
from ctxai.pacs.sent_log import SentLog
from ctxai.progress import track

FIRST_PAUSE_S = 1.0

logger = logging.getLogger(__name__)


def deliver(
    folder: Path, paths: Sequence[Path], peer: PacsClient, *, attempts: int = 4, resume: bool = True
) -> list[Outcome]:
    """Send files until the peer has answered about each; returns those that it has not stored.

    Args:
        folder: result folder that keeps the log of what was stored.
        paths: files in it.
        peer: the receiving system.
        attempts: tries while the peer cannot be reached, or refuses for the time being; an object that got through
            starts the count anew.
        resume: leave out what the peer has stored before.

    Raises:
        PacsError: when the peer still cannot be reached; says how many objects it has.
    """
    log = SentLog(folder, peer.name)
    left = log.missing(list(paths)) if resume else list(paths)
    refused: list[Outcome] = []
    try:
        for outcome in track(_outcomes(peer, left, attempts), "Sending", total=len(left)):
            if outcome.accepted:
                log.accepted(outcome.path)
                if outcome.message:
                    logger.warning("%s was stored with a warning: %s", outcome.path, outcome.message)
            else:
                logger.warning("%s was not accepted: %s", outcome.path, outcome.message)
                refused.append(outcome)
    except PacsError as error:
        there = len(paths) - len(log.missing(list(paths)))
        raise PacsError(
            f"{error}; {there} of {len(paths)} objects are there, the same command sends the rest"
        ) from None
    return refused


def _outcomes(peer: PacsClient, paths: Sequence[Path], attempts: int) -> Iterator[Outcome]:
    """One final answer for each file; what is refused for the time being is asked again after growing pauses."""
    left = list(paths)
    failures = 0
    while left:
        waiting: list[Outcome] = []
        try:
            for outcome in peer.store(list(left)):
                if outcome.temporary and not outcome.accepted:
                    waiting.append(outcome)
                    continue
                left.remove(outcome.path)
                failures = 0
                yield outcome
        except PacsError:
            if failures + 1 >= attempts:
                raise
        if not left:
            return
        failures += 1
        if failures >= attempts:
            yield from waiting
            return
        time.sleep(FIRST_PAUSE_S * 2 ** (failures - 1))
