"""Protocol of a client of another DICOM system, over DICOMweb or DIMSE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian


@dataclass(frozen=True)
class Outcome:
    """Answer of a peer about one object.

    Args:
        path: the file.
        accepted: the answer names the object as stored. Anything else is no storage, also an HTTP success.
        message: reason of a refusal, or the warning that came with a storage.
        temporary: the same object may be accepted later, such as after a full disk (PS3.4 B.2.3, A7xx).
    """

    path: Path
    accepted: bool
    message: str = ""
    temporary: bool = False


#: Failure reasons and statuses of PS3.18 10.5.3, PS3.7 annex C and PS3.4 B.2.3.
REASONS = {
    0x0110: "processing failure",
    0x0111: "it holds another object of this UID",
    0x0117: "it does not accept this SOP Instance UID",
    0x0122: "it does not store objects of this class",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0xA700: "it is out of resources",
    0xA900: "the object does not match its class",
    0xB000: "it changed values of the object",
    0xB006: "it discarded elements of the object",
    0xB007: "the object does not match its class",
    0xC000: "it cannot understand the object",
    0xC122: "it does not read this transfer syntax",
}
UNREAD_SYNTAX = 0xC122
#: Warnings of the Storage service: the object is stored (PS3.4 table B.2-1).
STORED_WITH_WARNING = frozenset({0xB000, 0xB006, 0xB007})


def is_temporary(code: int) -> bool:
    """Whether a failure may end by itself: no resources, a failure of processing, no authorisation yet."""
    return code >> 8 == 0xA7 or code in {0x0110, 0x0124}


def plain_advice(transfer_syntax: UID) -> str:
    """Advice that follows a peer's refusal of a transfer syntax: the plain formats; empty for other syntaxes."""
    if transfer_syntax != DeflatedExplicitVRLittleEndian:
        return ""
    return (
        "; explain again with the plain format of the object (pmap-plain, seg-plain, fractional-plain, sc-plain or "
        "readers-plain in --formats), then send again"
    )


def describe_status(code: int) -> str:
    """A status or failure reason in words, with its number."""
    reason = REASONS.get(code) or ("it is out of resources" if code >> 8 == 0xA7 else "")
    return f"status {code:04X}H{f', {reason}' if reason else ''}"


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
