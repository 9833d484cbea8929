"""``ctxai fetch-study``: the CT series of a study, from a PACS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ctxai.errors import InputError, PacsError
from ctxai.files import atomic_path
from ctxai.pacs.tls import Tls
from ctxai.progress import track

if TYPE_CHECKING:
    from ctxai.pacs.client import PacsClient, RemoteSeries


def fetch_study(
    study_uid: str,
    out_dir: Path,
    /,
    *,
    dicomweb: str | None = None,
    dimse: str | None = None,
    aet: str = "CTXAI",
    tls: Tls = Tls(),
    move_port: int | None = None,
) -> None:
    """Fetch the CT series of a study from a PACS, so that `ctxai explain` can start from there.

    OUT_DIR gets a folder for each series. Folder and file names come from hashes of UIDs: nothing of the patient is
    in them. Files that are there already are kept as they are, so a fetch that was stopped goes on.

    Args:
        study_uid: Study Instance UID.
        out_dir: folder for the images.
        dicomweb: root of a DICOMweb service (QIDO-RS, WADO-RS), such as http://127.0.0.1:8042/dicom-web.
        dimse: a PACS as AET@host:port (C-FIND, then C-GET or C-MOVE).
        aet: our own application entity title.
        tls: certificates, and whether DIMSE is encrypted.
        move_port: our port, for a PACS that only knows C-MOVE; it has to know our title with this address.
    """
    from pydicom.uid import RE_VALID_UID

    from ctxai.ct.header import series_key
    from ctxai.pacs.dimse import DimsePeer
    from ctxai.pacs.endpoint import peer_of

    if len(study_uid) > 64 or not re.fullmatch(RE_VALID_UID, study_uid):
        raise InputError(f"{study_uid}: expected a Study Instance UID: numbers joined by dots, 64 characters at most")
    peer = peer_of(dicomweb, dimse, aet, tls)
    if move_port is not None and isinstance(peer, DimsePeer):
        peer.move_port = move_port
    series = peer.find(study_uid, "CT")
    if not series:
        raise InputError(f"{peer.name}: no CT series of study {study_uid} there; check the UID")
    found = [_fetch_series(peer, one, out_dir / series_key(one.series_uid)) for one in series]
    text = f"{sum(found)} images of {len(found)} CT series in {out_dir}; next: ctxai explain {out_dir} OUT_DIR"
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def _fetch_series(peer: PacsClient, series: RemoteSeries, folder: Path) -> int:
    """Fetch one series; returns its number of images."""
    from ctxai.pacs.client import object_file

    if series.instances is not None and len(list(folder.glob("*.dcm"))) == series.instances:
        return series.instances
    names = set()
    for sop_uid, content in track(peer.fetch(series), "Fetching CT images", total=series.instances):
        name = object_file(sop_uid)
        if not (folder / name).is_file():
            with atomic_path(folder / name) as path:
                path.write_bytes(content)
        names.add(name)
    if not names or (series.instances is not None and len(names) != series.instances):
        raise PacsError(
            f"{peer.name}: {len(names)} of {series.instances or 'some'} images of a series came; "
            "the same command fetches the rest"
        )
    return len(names)
