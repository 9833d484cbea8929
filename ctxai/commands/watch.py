"""``ctxai watch``: a service that explains every CT it is sent and gives the results to a PACS."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.errors import InputError, PacsError, fault_of
from ctxai.files import write_text
from ctxai.generations import dicom_objects
from ctxai.pacs.tls import Tls
from ctxai.progress import console

if TYPE_CHECKING:
    from ctxai.deidentification.profile import Confidentiality
    from ctxai.pacs.client import PacsClient
    from ctxai.pacs.inbox import Arrived, Inbox

_LOOK_EVERY_S = 0.5
_LONGEST_PAUSE_S = 900.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """What is done with every series."""

    spool: Path
    peer: PacsClient
    explained: dict[str, object]
    confidentiality: Confidentiality | None

    def results_of(self, series: Arrived) -> Path:
        """Folder for the results of a series; its name tells the series only where the results do."""
        name = series.folder.name
        if self.confidentiality is not None:
            name = self.confidentiality.token("results", name).hex()[:12]
        return self.spool / "results" / name


def watch(
    spool: Path,
    *,
    dicomweb: str | None = None,
    dimse: str | None = None,
    aet: str = "CTXAI",
    host: str = "127.0.0.1",
    port: int = 11112,
    callers: list[str] = [],  # noqa: B006 (never changed)
    tls: Tls = Tls(),
    run: Path | None = None,
    points: Path | None = None,
    method: list[str] = ["cdam"],  # noqa: B006
    target: list[str] = ["malignancy"],  # noqa: B006
    formats: str = "pmap,seg,sr",
    deidentify: bool = False,
    retain: list[str] = [],  # noqa: B006
    key: Path | None = None,
    settle_s: float = 15.0,
    retry_s: float = 30.0,
) -> None:
    """Listen for CT images (C-STORE), explain each series once it is complete, and send the objects to a PACS.

    SPOOL keeps everything that is not delivered yet: an image is confirmed to its sender when it is on the disk, and
    deleted when the PACS has accepted what was made of it. After a crash, or while the PACS is down, the same command
    goes on from there. A series that cannot be explained goes to SPOOL/refused with the reason. There is no nodule
    detector: nodules are LIDC-IDRI's, or points of your own with their series_uid. Ctrl-C stops. For research use only.

    Args:
        spool: folder for images (incoming), results and what was refused.
        dicomweb: where results go: root of a DICOMweb service (STOW-RS).
        dimse: where results go: AET@host:port (C-STORE).
        aet: our own application entity title.
        host: address to listen on; 0.0.0.0 for every network of this computer.
        port: port to listen on.
        callers: application entity titles that may send; without any, everyone may.
        tls: certificates for the way to the PACS, and whether DIMSE is encrypted.
        run: run folder of the model; without it, the run that comes with the package.
        points: nodules as CSV (series_uid,x,y,z in LPS mm) or Slicer markups, read anew for every series.
        method: explanation methods.
        target: outputs to explain.
        formats: objects to make, separated by commas.
        deidentify: what is sent names no patient, as with ``ctxai explain --deidentify``: the objects, and the
            deidentified CT that they lie on. Should it come back from the PACS, it is turned away. SPOOL/incoming and
            SPOOL/refused hold images as they came; a spool is for results of one kind.
        retain: options of the profile, what to keep; with uids no CT is sent.
        key: file with the secret under which pseudonyms are made; without it, ~/.config/ctxai/deidentify.key.
        settle_s: seconds without a new image after which a series counts as complete.
        retry_s: seconds before the first new attempt to reach the PACS; they double up to 15 minutes.
    """
    from ctxai.annotations import read_points
    from ctxai.deidentification.profile import asked_for, made_here
    from ctxai.inference.formats.base import needs_headers, parse_formats
    from ctxai.inference.results import refuse_mixture
    from ctxai.pacs.endpoint import peer_of
    from ctxai.pacs.inbox import Inbox
    from ctxai.run.run import Run

    if not needs_headers(parse_formats(formats)):
        raise InputError(f"--formats {formats}: a PACS takes DICOM objects only; add some, such as pmap,seg,sr")
    if points is not None:
        read_points(points)
    Run.load(run)
    confidentiality = asked_for(deidentify, retain, key)
    for results in sorted((spool / "results").glob("*")):
        refuse_mixture(results, confidentiality, spool)
    options = {"run": run, "points": points, "method": method, "target": target, "formats": formats}
    options |= {"deidentify": deidentify, "retain": retain, "key": key}
    work = _Work(spool, peer_of(dicomweb, dimse, aet, tls), options, confidentiality)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    unwanted = made_here if deidentify else None
    inbox = Inbox(spool / "incoming", aet=aet, host=host, port=port, callers=callers, unwanted=unwanted)
    try:
        console.print(f"{aet} listens on {host}:{inbox.port}; results go to {work.peer.name}; Ctrl-C stops")
        _serve(inbox, work, settle_s, retry_s)
    except KeyboardInterrupt:
        console.print(f"stopped; {spool} keeps what is not delivered yet")
    finally:
        inbox.close()
        signal.signal(signal.SIGTERM, previous)


def _serve(inbox: Inbox, work: _Work, settle_s: float, retry_s: float) -> None:
    pause, not_before = retry_s, 0.0
    while True:
        for series in inbox.quiet(settle_s):
            if time.monotonic() < not_before:
                break
            try:
                _handle(inbox, series, work)
                pause = retry_s
            except PacsError as error:
                logger.warning("%s; tried again in %.0f s", error, pause)
                not_before = time.monotonic() + pause
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        time.sleep(_LOOK_EVERY_S)


def _handle(inbox: Inbox, series: Arrived, work: _Work) -> None:
    """Explain one series, deliver it, and let its images go.

    Raises:
        PacsError: when the PACS cannot be reached; the series stays.
    """
    from ctxai.commands.explain import explain
    from ctxai.commands.send import deliver

    key = series.folder.name
    results = work.results_of(series)
    try:
        explain(series.folder, results, **work.explained)
        paths = dicom_objects(results)
        reason = "" if paths else "no nodule is known for this series; name it in the points with its series_uid"
    except InputError as error:
        reason = str(error)
    except Exception as error:
        logger.debug("series %s", key, exc_info=True)
        reason = fault_of(error)
    if not reason:
        refused = deliver(results, paths, work.peer, attempts=1)
        if refused:
            reason = f"{work.peer.name} did not accept {len(refused)} of {len(paths)} objects: {refused[0].message}"
    if reason:
        target = work.spool / "refused" / key
        if inbox.let_go(series, target):
            write_text(target / "reason.txt", reason + "\n")
            logger.warning("series %s refused: %s", key, reason)
    elif inbox.let_go(series):
        console.print(f"series {key}: {len(paths)} objects delivered")
