"""Protocol of a client of another DICOM system, over DICOMweb or DIMSE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Outcome:
    """Answer of a peer about one object.

    Args:
        path: the file.
        accepted: whether the peer has stored it.
        message: why not; empty when accepted.
    """

    path: Path
    accepted: bool
    message: str = ""


@dataclass(frozen=True)
class RemoteSeries:
    """A series in the archive of a peer.

    Args:
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        modality: such as CT; empty when the peer does not tell it.
        instances: Number of Series Related Instances; None when the peer does not tell it.
    """

    study_uid: str
    series_uid: str
    modality: str = ""
    instances: int | None = None


class PacsClient(Protocol):
    """Another DICOM system. Every call raises PacsError when it cannot be reached or refuses to talk at all."""

    name: str
    """Address without credentials, for messages and for the log of sent objects."""

    def store(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        """Send files one after another; one object that is refused does not stop the others."""

    def find(self, study_uid: str, modality: str | None = None) -> list[RemoteSeries]:
        """Series of a study, all or those of one modality."""

    def fetch(self, series: RemoteSeries) -> Iterator[tuple[str, bytes]]:
        """SOP Instance UID and content, as a DICOM file has it (PS3.10), of every object of a series."""


def object_file(sop_uid: str) -> str:
    """File name of an object: a hash of its SOP Instance UID, never the UID as it was sent."""
    return f"{hashlib.sha256(sop_uid.encode()).hexdigest()[:24]}.dcm"
