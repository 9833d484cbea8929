"""What ctxai needs of another DICOM system, whether it speaks DICOMweb or DIMSE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Outcome:
    """What became of one object that was sent.

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
    """A series that a peer holds.

    Args:
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        modality: such as CT; empty when the peer does not say.
        instances: Number of Series Related Instances; None when the peer does not say.
    """

    study_uid: str
    series_uid: str
    modality: str = ""
    instances: int | None = None


class PacsClient(Protocol):
    """Another DICOM system. Every call raises PacsError when it cannot be reached or refuses to talk at all."""

    name: str
    """Address without credentials, for messages and for the list of what was sent."""

    def store(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        """Send files one after another; one object that is refused does not stop the others."""

    def find(self, study_uid: str, modality: str | None = None) -> list[RemoteSeries]:
        """Series of a study, all or those of one modality."""

    def fetch(self, series: RemoteSeries) -> Iterator[tuple[str, bytes]]:
        """SOP Instance UID and content, as a DICOM file has it (PS3.10), of every object of a series."""
