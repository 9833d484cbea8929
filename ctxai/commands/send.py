"""``ctxai send``: DICOM objects of a result folder to a PACS."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.errors import InputError, PacsError
from ctxai.generations import dicom_objects
from ctxai.pacs.tls import Tls
from ctxai.progress import track

if TYPE_CHECKING:
    from ctxai.pacs.client import Outcome, PacsClient

_FIRST_PAUSE_S = 1.0

logger = logging.getLogger(__name__)


def send(
    out_dir: Path,
    *,
    dicomweb: str | None = None,
    dimse: str | None = None,
    aet: str = "CTXAI",
    tls: Tls = Tls(),
    attempts: int = 4,
    resume: bool = True,
) -> None:
    """Send the DICOM objects of a result folder of `ctxai explain` to a PACS.

    What the PACS has accepted is noted in OUT_DIR/sent.json at once: after a failure the same command sends the rest,
    and after a new explanation only what has changed. Objects of one content have one UID, so that sending twice
    never makes two of them. Passwords for a URL come from ~/.netrc, a token from CTXAI_DICOMWEB_TOKEN.

    Args:
        out_dir: results of `ctxai explain`.
        dicomweb: root of a DICOMweb service (STOW-RS), such as http://127.0.0.1:8042/dicom-web.
        dimse: a PACS as AET@host:port (C-STORE).
        aet: our own application entity title.
        tls: certificates, and whether DIMSE is encrypted.
        attempts: how often to try while the PACS cannot be reached, with pauses of 1, 2, 4 … seconds.
        resume: leave out what this PACS has accepted before; --no-resume sends everything.
    """
    from ctxai.pacs.endpoint import peer_of

    peer = peer_of(dicomweb, dimse, aet, tls)
    paths = dicom_objects(out_dir)
    if not paths:
        raise InputError(
            f"{out_dir}: no DICOM objects (*/dicom/**/*.dcm) in it; give a result folder of "
            "`ctxai explain --formats pmap,seg,…`"
        )
    refused = deliver(out_dir, paths, peer, attempts=attempts, resume=resume)
    if refused:
        raise InputError(
            f"{peer.name}: {len(refused)} of {len(paths)} objects were not accepted, the first: "
            f"{refused[0].path}: {refused[0].message}"
        )


def deliver(
    folder: Path, paths: Sequence[Path], peer: PacsClient, *, attempts: int = 4, resume: bool = True
) -> list[Outcome]:
    """Send files until the peer has answered about each; returns those that it refused.

    Args:
        folder: result folder that keeps the list of what was accepted.
        paths: files in it.
        peer: where to.
        attempts: how often to try to reach the peer; an object that got through starts the count anew.
        resume: leave out what the peer has accepted before.

    Raises:
        PacsError: when the peer still cannot be reached; says how many objects it has.
    """
    from ctxai.pacs.sent_log import SentLog

    ledger = SentLog(folder, peer.name)
    left = ledger.missing(list(paths)) if resume else list(paths)
    refused: list[Outcome] = []
    try:
        for outcome in track(_outcomes(peer, left, attempts), "Sending", total=len(left)):
            if outcome.accepted:
                ledger.accepted(outcome.path)
            else:
                logger.warning("%s was not accepted: %s", outcome.path, outcome.message)
                refused.append(outcome)
    except PacsError as error:
        there = len(paths) - len(ledger.missing(list(paths)))
        raise PacsError(
            f"{error}; {there} of {len(paths)} objects are there, the same command sends the rest"
        ) from None
    return refused


def _outcomes(peer: PacsClient, paths: Sequence[Path], attempts: int) -> Iterator[Outcome]:
    """The peer's answers, one for each file, tried again with growing pauses while it cannot be reached."""
    left = list(paths)
    failures = 0
    while left:
        try:
            for outcome in peer.store(list(left)):
                left.remove(outcome.path)
                failures = 0
                yield outcome
        except PacsError:
            failures += 1
            if failures >= attempts:
                raise
            time.sleep(_FIRST_PAUSE_S * 2 ** (failures - 1))
