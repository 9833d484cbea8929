"""Addresses of peers on the command line: a DICOMweb URL, or AET@host:port."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ctxai.errors import InputError
from ctxai.pacs.client import PacsClient
from ctxai.pacs.dicomweb import DicomWebPeer
from ctxai.pacs.dimse import DimsePeer
from ctxai.pacs.tls import Tls

_AE_TITLE = r"[^\\@\s\x00-\x1f][^\\@\x00-\x1f]{0,15}"  # PS3.5 6.2, value representation AE, less the separator
_DIMSE = re.compile(rf"(?P<aet>{_AE_TITLE})@(?P<host>\[[0-9a-fA-F:]+\]|[^\s:@/\[\]]+):(?P<port>[0-9]{{1,5}})")


def peer_of(dicomweb: str | None, dimse: str | None, aet: str = "CTXAI", tls: Tls = Tls()) -> PacsClient:
    """The peer that a command names, by exactly one of two addresses.

    Args:
        dicomweb: root of a DICOMweb service, such as http://127.0.0.1:8042/dicom-web.
        dimse: AET@host:port.
        aet: our own application entity title, for DIMSE.
        tls: encryption and identity.

    Raises:
        InputError: for no address, two, or one that is not of this form.
    """
    if (dicomweb is None) == (dimse is None):
        raise InputError(
            "expected one address, --dicomweb URL or --dimse AET@host:port; "
            f"found {'none' if dicomweb is None else 'both'}"
        )
    if dicomweb is not None:
        tls.check()
        return DicomWebPeer(_checked_url(dicomweb), ca=tls.ca, certificate=tls.certificate, key=tls.key)
    found = _DIMSE.fullmatch(str(dimse))
    if found is None or not 0 < int(found["port"]) < 65536:
        raise InputError(f"--dimse {dimse}: expected AET@host:port, for example ORTHANC@127.0.0.1:4242")
    if not re.fullmatch(_AE_TITLE, aet):
        raise InputError(f"--aet {aet}: expected 1 to 16 characters without backslash or @")
    return DimsePeer(found["aet"], found["host"].strip("[]"), int(found["port"]), own_aet=aet, tls=tls.context())


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(
            f"--dicomweb {url}: expected the root of a DICOMweb service, such as http://127.0.0.1:8042/dicom-web"
        )
    if parts.username or parts.password:
        raise InputError(
            "--dicomweb: a password in a URL ends up in logs; put it in ~/.netrc, or a token in CTXAI_DICOMWEB_TOKEN"
        )
    return url.rstrip("/")
