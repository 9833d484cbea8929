"""Encryption of a connection and the identities of both ends."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from ctxai.errors import InputError


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
