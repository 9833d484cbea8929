"""A real Orthanc with DICOMweb and DIMSE for the system tests, on free ports of loopback.

    def test_something(orthanc):          # fixture of conftest.py: one of its own, empty
        orthanc.dicomweb_url, orthanc.dimse_address, orthanc.url

`started_orthanc` starts others, or the same again on the same ports and storage after it has been stopped.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from ctxai.viewer.orthanc import HOST, Orthanc, find_orthanc, free_port

from system.requirements import require

#: Calling titles that the tests' Orthanc talks with; SENDER and CTXAI also have a port to be moved to.
TITLES = ("CTXAI", "SENDER")


def started_orthanc(**options: Any) -> Orthanc:
    """An Orthanc to use as a context manager, with DIMSE for :data:`TITLES`; skips or, in CI, fails where absent.

    Args:
        options: of :class:`ctxai.viewer.orthanc.Orthanc`, before its defaults here.
    """
    require(find_orthanc() is not None, "Orthanc with DICOMweb", "the Debian packages orthanc and orthanc-dicomweb")
    modalities = {title: (HOST, free_port()) for title in TITLES}
    return Orthanc(**{"dimse": True, "modalities": modalities} | options)


def rest(orthanc: Orthanc, path: str) -> Any:
    """What Orthanc's REST interface says under ``path``, such as ``/instances``: parsed JSON."""
    with urllib.request.urlopen(orthanc.url + path, timeout=60) as response:
        return json.load(response)


def stored_bytes(orthanc: Orthanc) -> dict[str, bytes]:
    """All files that Orthanc holds, by SOP Instance UID."""
    files = {}
    for instance in rest(orthanc, "/instances?expand"):
        with urllib.request.urlopen(f"{orthanc.url}/instances/{instance['ID']}/file", timeout=300) as response:
            files[instance["MainDicomTags"]["SOPInstanceUID"]] = response.read()
    return files
