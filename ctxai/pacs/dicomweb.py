"""Client of a DICOMweb service: STOW-RS, QIDO-RS and WADO-RS (DICOM PS3.18)."""

from __future__ import annotations

import io
import os
import secrets
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.errors import PacsError, kind_of
from ctxai.pacs.client import Outcome, RemoteSeries, plain_advice
from ctxai.pacs.stow_answer import describe_body, read_stow_answer

TOKEN = "CTXAI_DICOMWEB_TOKEN"
_TIMEOUT_S = (10.0, 300.0)  # to connect; between bytes
#: HTTP statuses that are about the request's object alone; with any other the service as a whole did not work.
_ABOUT_THE_OBJECT = {400, 406, 409, 413, 415, 422}


class DicomWebPeer:
    """A DICOMweb service.

    Args:
        url: root of the service, without credentials. Those come from the environment variable CTXAI_DICOMWEB_TOKEN, a
            bearer token, or else from ``~/.netrc``.
        ca: file of certificates to trust, instead of those of Python's requests and of REQUESTS_CA_BUNDLE.
        certificate: file of our own certificate.
        key: file of its private key.
    """

    def __init__(
        self, url: str, *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self.name = url
        self._session = _Session(url, ca)
        if certificate is not None:
            self._session.cert = (str(certificate), str(key)) if key is not None else str(certificate)
        if token := os.environ.get(TOKEN):
            self._session.auth = _Bearer(token)
        self._client = DICOMwebClient(url, session=self._session, timeout=_TIMEOUT_S, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)  # deliver() decides when to try again

    def store(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        """STOW-RS, one object per request, so that the peer's answer is about that object. Files travel unchanged.

        Raises:
            PacsError: when the service cannot be reached, refuses as a whole, redirects, or gives an answer that is no
                answer of STOW-RS.
        """
        for path in paths:
            header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
            boundary = secrets.token_hex(16)
            head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            headers = {
                "Accept": "application/dicom+json",
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            }
            body = b"".join([head, path.read_bytes(), f"\r\n--{boundary}--\r\n".encode()])
            try:
                response = self._session.post(f"{self.name}/studies", data=body, headers=headers, timeout=_TIMEOUT_S)
            except (requests.RequestException, OSError) as error:
                raise self._failed(error) from None
            advice = plain_advice(header.file_meta.TransferSyntaxUID)
            yield self._outcome(path, str(header.SOPInstanceUID), advice, response)

    def _outcome(self, path: Path, sop_uid: str, syntax_advice: str, response: requests.Response) -> Outcome:
        """Status of the object in the answer; PacsError where it is not named there."""
        answer = read_stow_answer(response.content, response.headers.get("Content-Type", ""))
        outcome = None if answer is None else answer.outcome(path, sop_uid, syntax_advice)
        if outcome is not None and (response.ok or not outcome.accepted):
            return outcome
        if response.ok:
            raise PacsError(
                f"{self.name}: the answer does not name the object as stored (HTTP {response.status_code}, "
                f"{describe_body(response)}); nothing counts as delivered; check that this is the root of DICOMweb"
            )
        if response.status_code in _ABOUT_THE_OBJECT:
            advice = syntax_advice if response.status_code == 415 else ""
            return Outcome(path, False, _http_reason(response) + advice)
        raise self._failed(requests.HTTPError(response=response))

    def find(self, study_uid: str, modality: str | None = None) -> list[RemoteSeries]:
        """QIDO-RS for the series of a study, by rising UID.

        Raises:
            PacsError: when the service cannot be reached, refuses, or gives an answer that is no DICOM JSON.
        """
        fields = {"includefield": ["NumberOfSeriesRelatedInstances", "Modality"]}
        query: dict[str, Any] = fields | ({"Modality": modality} if modality else {})
        try:
            response = self._session.get(
                f"{self.name}/studies/{study_uid}/series",
                params=query,
                headers={"Accept": "application/dicom+json"},
                timeout=_TIMEOUT_S,
            )
            if response.status_code in {204, 404}:
                return []
            response.raise_for_status()
        except (requests.RequestException, OSError) as error:
            raise self._failed(error) from None
        try:
            answers = response.json()
            if not isinstance(answers, list):
                raise TypeError("not a list")
            found = [_remote_series(study_uid, Dataset.from_json(one)) for one in answers]
        except (*PARSE_ERRORS, ValueError, TypeError, KeyError, AttributeError):
            raise PacsError(
                f"{self.name}: the answer to a query is no DICOM JSON ({describe_body(response)}); check that this is "
                "the root of DICOMweb"
            ) from None
        # Some services ignore the modality of a query.
        kept = [one for one in found if not modality or one.modality in ("", modality)]
        return sorted(kept, key=lambda one: one.series_uid)

    def fetch(self, series: RemoteSeries) -> Iterator[tuple[str, bytes]]:
        """WADO-RS for a series, in the transfer syntax that the service keeps it in.

        Raises:
            PacsError: when the service cannot be reached, refuses, or sends what is no object of this series.
        """
        try:
            for dataset in self._client.iter_series(
                series.study_uid, series.series_uid, media_types=(("application/dicom", "*"),)
            ):
                if dataset.get("SeriesInstanceUID") != series.series_uid:
                    raise PacsError(f"{self.name}: sent an object of another series than was asked for; not kept")
                buffer = io.BytesIO()
                dcmwrite(buffer, dataset, enforce_file_format=True)
                yield str(dataset.SOPInstanceUID), buffer.getvalue()
        except (requests.RequestException, OSError) as error:
            raise self._failed(error) from None
        except (InvalidDicomError, *PARSE_ERRORS, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PacsError(
                f"{self.name}: sent something else than DICOM objects ({kind_of(error)}); check that this is the root "
                "of DICOMweb"
            ) from None

    def _failed(self, error: Exception) -> PacsError:
        advice = "check the address and that the service runs, then try again"
        if isinstance(error, _Redirected):
            return PacsError(f"{self.name}: redirects to {error}, which is not followed; give the final address")
        if isinstance(error, requests.HTTPError) and error.response is not None:
            reason = _http_reason(error.response)
            if error.response.status_code in {401, 403, 407}:
                advice = f"put credentials into ~/.netrc or a token into {TOKEN}"
        elif isinstance(error, requests.exceptions.SSLError):
            reason, advice = _tls_reason(error)
        elif isinstance(error, requests.Timeout):
            reason = "no answer in time"
        elif isinstance(error, requests.ConnectionError):
            reason = "no connection"
        else:
            reason = type(error).__name__
        return PacsError(f"{self.name}: {reason}; {advice}")


class _Redirected(requests.RequestException):
    """A redirect; its text is the origin that it leads to."""


class _Session(requests.Session):
    """A session that follows no redirect, and whose own settings win over those of the environment."""

    def __init__(self, url: str, ca: Path | None) -> None:
        super().__init__()
        self._ca = None if ca is None else str(ca)

    def merge_environment_settings(self, *arguments: Any, **named: Any) -> Any:
        """Settings of a request; REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE yield to the given authority."""
        merged = super().merge_environment_settings(*arguments, **named)
        return merged | ({} if self._ca is None else {"verify": self._ca})

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send; a redirect is an error, so that no object goes to a host that nobody named."""
        response = super().send(request, **options | {"allow_redirects": False})
        if 300 <= response.status_code < 400 and response.status_code != 304:
            target = requests.utils.urlparse(response.headers.get("Location", ""))
            raise _Redirected(f"{target.scheme}://{target.hostname}" if target.hostname else "another path")
        return response


class _Bearer(requests.auth.AuthBase):
    """A token; as the session's own authentication it wins over ``~/.netrc``."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _tls_reason(error: Exception) -> tuple[str, str]:
    """Reason of a failed TLS handshake, and advice."""
    text = str(error).upper()
    if "WRONG_VERSION_NUMBER" in text or "RECORD LAYER" in text or "UNKNOWN_PROTOCOL" in text:
        return "it does not speak TLS at this port", "use http:// or the port of https"
    if isinstance(error.args[0] if error.args else None, ssl.SSLError) or "CERTIFICATE" in text:
        return "its certificate is not trusted", "name the authority with --tls.ca"
    return "the TLS connection failed", "name its authority with --tls.ca, or our certificate with --tls.certificate"


def _http_reason(response: requests.Response) -> str:
    said = describe_body(response)
    return f"HTTP {response.status_code} {response.reason or ''}".strip() + (f" ({said})" if response.content else "")


def _remote_series(study_uid: str, found: Dataset) -> RemoteSeries:
    number = found.get("NumberOfSeriesRelatedInstances")
    if not UID(str(found.SeriesInstanceUID)).is_valid:
        raise ValueError("no Series Instance UID")
    return RemoteSeries(
        study_uid=study_uid,
        series_uid=str(found.SeriesInstanceUID),
        modality=str(found.get("Modality", "")),
        instances=None if number is None else int(number),
    )
