"""``ctxai watch``: a service that explains every CT it is sent and gives the results to a PACS."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from ctxai.errors import InputError
from ctxai.generations import dicom_objects, series_folders
from ctxai.pacs.tls import Tls
from ctxai.progress import console
from ctxai.quick_imports import quick_imports
from ctxai.run.device import AUTO

_LOOK_EVERY_S = 0.5


def watch(
    spool: Path,
    /,
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
    method: list[str] | None = None,
    target: list[str] | None = None,
    formats: str = "pmap,seg,sr",
    deidentify: bool = False,
    retain: list[str] = [],  # noqa: B006
    key: Path | None = None,
    settle_s: float = 15.0,
    retry_s: float = 30.0,
    keep_s: float | None = None,
    retry: bool = False,
    device: str = AUTO,
) -> None:
    """Listen for CT images (C-STORE), explain each series once it is complete, and send the objects to a PACS.

    SPOOL keeps everything that is not delivered yet: an image is confirmed to its sender when it is on the disk, and
    deleted KEEP_S seconds after the PACS has named as stored what was made of it. After a crash, or while the PACS is
    down or refuses for the time being, the same command goes on from there. A series is complete when its sender has
    closed and no image has come for SETTLE_S seconds, four times that where slices are missing; late images bring it
    back. A series that cannot be explained or that the PACS refuses goes to SPOOL/refused with the reason. No
    nodule detector runs here: nodules are LIDC-IDRI's, or points of your own with their series_uid. Ctrl-C stops. For
    research use only.

    Args:
        spool: folder for images (incoming), results and what was refused.
        dicomweb: where results go: root of a DICOMweb service (STOW-RS).
        dimse: where results go: AET@host:port (C-STORE).
        aet: our own application entity title.
        host: address to listen on; 0.0.0.0 for every network of this computer.
        port: port to listen on.
        callers: application entity titles that may send; without any, everyone may.
        tls: certificates for the way to the PACS, and whether DIMSE is encrypted.
        run: run folder of the model, or the name of one that comes with the package: hybrid_vit_lidc2d, the default, or
            hybrid_ensemble_lidc2d, the mean of five networks.
        points: nodules as CSV (series_uid,x,y,z in LPS mm) or Slicer markups, read anew for every series.
        method: explanation methods, with options as smooth_cdam:n_samples=20; without it as `ctxai explain`.
        target: outputs to explain; without it as `ctxai explain`.
        formats: objects to make, separated by commas.
        deidentify: what is sent names no patient, as with ``ctxai explain --deidentify``: the objects, and the
            deidentified CT that they lie on. Should it come back from the PACS, it is turned away. SPOOL/incoming,
            SPOOL/refused and SPOOL/delivered hold images as they came; a spool is for results of one kind.
        retain: options of the profile, what to keep; with uids no CT is sent.
        key: file with the secret under which pseudonyms are made; without it, ~/.config/ctxai/deidentify.key.
        settle_s: seconds without a new image after which a series counts as complete.
        retry_s: seconds before the first new attempt to deliver a series; they double up to 15 minutes.
        keep_s: seconds that images of a delivered series stay in SPOOL/delivered, for late ones; 600, but with
            deidentify 0, that is none.
        retry: begin with what lies in SPOOL/refused.
        device: what the model runs on: auto (a GPU where there is one), cpu, cuda or cuda:1.
    """
    with quick_imports(for_good=True):
        from ctxai.annotations import read_points
        from ctxai.commands.explain import explain
        from ctxai.deidentification.profile import asked_for, made_here
        from ctxai.inference.formats.base import needs_headers, parse_formats
        from ctxai.inference.results import refuse_mixture
        from ctxai.pacs.endpoint import peer_of
        from ctxai.pacs.inbox import Inbox
        from ctxai.pacs.watcher import DELIVERED, INCOMING, REFUSED, RESULTS, Watcher, bring_back_refused
        from ctxai.run.run import Run

    if not needs_headers(parse_formats(formats)):
        raise InputError(f"--formats {formats}: a PACS takes DICOM objects only; add some, such as pmap,seg,sr")
    if points is not None:
        read_points(points)
    Run.open(run).to(device)
    confidentiality = asked_for(deidentify, retain, key)
    for results in sorted((spool / RESULTS).glob("*")):
        refuse_mixture(results, confidentiality, spool)

    def explained(folder: Path, results: Path) -> list[Path]:
        explain(
            folder,
            results,
            run=run,
            points=points,
            method=method,
            target=target,
            formats=formats,
            deidentify=deidentify,
            retain=retain,
            key=key,
            device=device,
        )
        objects = dicom_objects(results)
        if not objects and series_folders(results):
            raise InputError("explained, but no DICOM object can lie on this CT, so that nothing can be delivered")
        return objects

    def results_of(series: str) -> Path:
        """Folder for the results of a series; its name tells the series only where the results do."""
        name = series if confidentiality is None else confidentiality.token("results", series).hex()[:12]
        return spool / RESULTS / name

    peer = peer_of(dicomweb, dimse, aet, tls)
    if retry:
        bring_back_refused(spool)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    inbox = Inbox(
        spool / INCOMING,
        aet=aet,
        host=host,
        port=port,
        callers=callers,
        unwanted=made_here if deidentify else None,
        earlier=[spool / DELIVERED, spool / REFUSED],
    )
    # A peer that gets deidentified objects is never asked about a patient's own UIDs.
    if keep_s is None:
        keep_s = 600.0 if confidentiality is None else 0.0
    watcher = Watcher(
        inbox, spool, peer, explained, results_of, settle_s, retry_s, keep_s, ask_peer=confidentiality is None
    )
    try:
        console.print(f"{aet} listens on {host}:{inbox.port}; results go to {peer.name}; Ctrl-C stops")
        while True:
            watcher.step()
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        console.print(f"stopped; {spool} keeps what is not delivered yet")
    finally:
        inbox.close()
        signal.signal(signal.SIGTERM, previous)
