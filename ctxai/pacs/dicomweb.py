"""A peer that speaks DICOMweb: STOW-RS, QIDO-RS and WADO-RS (DICOM PS3.18)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread, dcmwrite

from ctxai.errors import PacsError
from ctxai.pacs.client import Outcome, RemoteSeries

TOKEN = "CTXAI_DICOMWEB_TOKEN"
_TIMEOUT_S = (10.0, 300.0)  # to connect; between bytes

# Failure reasons of PS3.18 10.5.3 and PS3.4 annex B that servers give.
_REASONS = {
    0x0110: "processing failure",
    0x0111: "it holds another object of this UID",
    0x0122: "it does not store objects of this class",
    0x0124: "not authorised",
    0xA700: "it is out of resources",
    0xA900: "the object does not match its class",
    0xC000: "it cannot understand the object",
    0xC122: "it does not read this transfer syntax",
}


class DicomWebPeer:
    """A DICOMweb service.

    Args:
        url: root of the service, without credentials. Those come from ``~/.netrc`` or, as a bearer token, from the
            environment variable CTXAI_DICOMWEB_TOKEN.
        ca: file of certificates to trust, instead of those that come with Python's requests.
        certificate: file of our own certificate.
        key: file of its private key.
    """

    def __init__(
        self, url: str, *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self.name = url
        session = requests.Session()
        if ca is not None:
            session.verify = str(ca)
        if certificate is not None:
            session.cert = (str(certificate), str(key)) if key is not None else str(certificate)
        if token := os.environ.get(TOKEN):
            session.headers["Authorization"] = f"Bearer {token}"
        self._client = DICOMwebClient(url, session=session, timeout=_TIMEOUT_S, permissive_uid=True)
        # Whoever sends decides when to try again.
        self._client.set_http_retry_params(retry=False)

    def store(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        """STOW-RS, one object per request, so that the peer's answer is about that object.

        Raises:
            PacsError: when the service cannot be reached, or answers that it is busy or broken (HTTP 429 or 5xx).
        """
        for path in paths:
            try:
                response = self._client.store_instances([dcmread(path)])
            except requests.HTTPError as error:
                status = error.response.status_code
                if status == 429 or status >= 500:
                    raise self._failed(error) from None
                yield Outcome(path, False, _http_reason(error.response))
                continue
            except (requests.RequestException, OSError) as error:
                raise self._failed(error) from None
            failed = [item.get("FailureReason") for item in response.get("FailedSOPSequence") or ()]
            reason = ", ".join(_REASONS.get(code, f"failure reason {code or 0:04X}H") for code in failed)
            yield Outcome(path, not failed, reason)

    def find(self, study_uid: str, modality: str | None = None) -> list[RemoteSeries]:
        """QIDO-RS for the series of a study, by rising UID.

        Raises:
            PacsError: when the service cannot be reached or refuses.
        """
        filters = {"Modality": modality} if modality else {}
        try:
            found = self._client.search_for_series(
                study_uid, search_filters=filters, fields=["NumberOfSeriesRelatedInstances", "Modality"]
            )
        except (requests.RequestException, OSError) as error:
            if isinstance(error, requests.HTTPError) and error.response.status_code == 404:
                return []
            raise self._failed(error) from None
        return sorted(
            (_remote_series(study_uid, Dataset.from_json(one)) for one in found), key=lambda one: one.series_uid
        )

    def fetch(self, series: RemoteSeries) -> Iterator[tuple[str, bytes]]:
        """WADO-RS for a series, in the transfer syntax that the service keeps it in.

        Raises:
            PacsError: when the service cannot be reached or refuses.
        """
        try:
            for dataset in self._client.iter_series(
                series.study_uid, series.series_uid, media_types=(("application/dicom", "*"),)
            ):
                buffer = io.BytesIO()
                dcmwrite(buffer, dataset, enforce_file_format=True)
                yield str(dataset.SOPInstanceUID), buffer.getvalue()
        except (requests.RequestException, OSError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> PacsError:
        if isinstance(error, requests.HTTPError):
            reason = _http_reason(error.response)
        elif isinstance(error, requests.exceptions.SSLError):
            reason = "its certificate is not trusted; name the authority with --tls.ca"
        elif isinstance(error, requests.ConnectionError):
            reason = "no connection"
        elif isinstance(error, requests.Timeout):
            reason = "no answer in time"
        else:
            reason = type(error).__name__
        return PacsError(f"{self.name}: {reason}; check the address and that the service runs, then try again")


def _http_reason(response: requests.Response) -> str:
    return f"HTTP {response.status_code} {response.reason}".strip()


def _remote_series(study_uid: str, found: Dataset) -> RemoteSeries:
    number = found.get("NumberOfSeriesRelatedInstances")
    return RemoteSeries(
        study_uid=study_uid,
        series_uid=str(found.SeriesInstanceUID),
        modality=str(found.get("Modality", "")),
        instances=None if number is None else int(number),
    )
