"""Addresses of peers on the command line: a DICOMweb URL, or AET@host:port."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ctxai.errors import InputError
from ctxai.pacs.client import PacsClient
from ctxai.pacs.dicomweb import DicomWebPeer
from ctxai.pacs.dimse import DimsePeer

_AE_TITLE = r"[^\\@\s\x00-\x1f][^\\@\x00-\x1f]{0,15}"  # PS3.5 6.2, value representation AE, less the separator
_DIMSE = re.compile(rf"(?P<aet>{_AE_TITLE})@(?P<host>\[[0-9a-fA-F:]+\]|[^\s:@/\[\]]+):(?P<port>[0-9]{{1,5}})")


@dataclass(frozen=True)
class Tls:
    """Encryption and identity of a connection; https URLs are encrypted anyway.

    Args:
        encrypt: use TLS for DIMSE; given by itself the peer's certificate has to be signed by a known authority.
        ca: file of certificates to trust, instead of the system's.
        certificate: file of our own certificate, for peers that ask for one.
        key: file of its private key.
    """

    encrypt: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext | None:
        """For DIMSE; None without encryption.

        Raises:
            InputError: when a file cannot be read as what it should be.
        """
        self.check()
        if not (self.encrypt or self.ca or self.certificate):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            raise InputError(f"--tls: not PEM certificates and a key that fit ({error.reason or error})") from None
        return context

    def check(self) -> None:
        """Every named file has to exist.

        Raises:
            InputError: naming the one that does not.
        """
        for name in ("ca", "certificate", "key"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise InputError(f"--tls.{name} {path}: no such file; give a PEM file")


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
