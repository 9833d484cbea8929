"""``ctxai send``: DICOM objects of a result folder to a PACS."""

from __future__ import annotations

from pathlib import Path

from ctxai.errors import InputError
from ctxai.generations import dicom_objects
from ctxai.pacs.tls import Tls


def send(
    out_dir: Path,
    /,
    *,
    dicomweb: str | None = None,
    dimse: str | None = None,
    aet: str = "CTXAI",
    tls: Tls = Tls(),
    attempts: int = 4,
    resume: bool = True,
) -> None:
    """Send the DICOM objects of a result folder of `ctxai explain` to a PACS.

    An object counts as sent only when the PACS names it as stored; OUT_DIR/sent.json records it at once: after a
    failure the same command sends the rest, and after a new explanation only what has changed. Objects of one content
    have one UID, so that sending twice never makes two of them. A redirect is not followed. Passwords for a URL come
    from ~/.netrc, a token from CTXAI_DICOMWEB_TOKEN.

    Args:
        out_dir: results of `ctxai explain`.
        dicomweb: root of a DICOMweb service (STOW-RS), such as http://127.0.0.1:8042/dicom-web.
        dimse: a PACS as AET@host:port (C-STORE).
        aet: our own application entity title.
        tls: certificates, and whether DIMSE is encrypted.
        attempts: how often to try while the PACS cannot be reached or refuses for the time being, with pauses of 1, 2,
            4 … seconds.
        resume: leave out what this PACS has accepted before; --no-resume sends everything.
    """
    from ctxai.pacs.delivery import deliver
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
