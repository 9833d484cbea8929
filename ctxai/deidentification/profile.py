"""Deidentification by DICOM's Basic Application Level Confidentiality Profile (PS3.15 Annex E) with its options.

Derived objects copy patient, study and references from the headers of the CT. So the headers are made anew, of the
attributes that a CT and what is made from it need and no others, before anything is derived: what is not named here is
removed, private attributes among it.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from ctxai import __version__
from ctxai.ct.header import series_key
from ctxai.ct.identity import exact_text
from ctxai.deidentification.secret_key import read_key, token
from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean


class Retain(StrEnum):
    """Options of PS3.15 E.3 that keep more than the Basic Profile."""

    UIDS = "uids"
    DATES = "dates"
    MODIFIED_DATES = "modified-dates"
    PATIENT = "patient"
    DEVICE = "device"
    INSTITUTION = "institution"


_OPTION: dict[Retain, Code] = {
    Retain.UIDS: codes.DCM.RetainUidsOption,
    Retain.DATES: codes.DCM.RetainLongitudinalTemporalInformationFullDatesOption,
    Retain.MODIFIED_DATES: codes.DCM.RetainLongitudinalTemporalInformationModifiedDatesOption,
    Retain.PATIENT: codes.DCM.RetainPatientCharacteristicsOption,
    Retain.DEVICE: codes.DCM.RetainDeviceIdentityOption,
    Retain.INSTITUTION: codes.DCM.RetainInstitutionIdentityOption,
}
#: Every text of the derived objects is the software's own: descriptions and structured content are clean.
_ALWAYS = (
    codes.DCM.BasicApplicationConfidentialityProfile,
    codes.DCM.CleanStructuredContentOption,
    codes.DCM.CleanDescriptorsOption,
)

_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
#: Replaced by nothing: PS3.3 wants them in every image, empty where nothing is known.
_EMPTY = (
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyTime",
    "PositionReferenceIndicator",
)
#: Empty where the image does not say them.
_EXPECTED = ("Manufacturer", "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "KVP")
#: What a CT is: kind, place, size, grey values and technique. The table of PS3.15 has none of them.
_KEPT = (
    "SOPClassUID",
    "ImageType",
    "Modality",
    "Manufacturer",
    "BodyPartExamined",
    "PatientPosition",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "Laterality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "KVP",
    "ExposureTime",
    "XRayTubeCurrent",
    "Exposure",
    "GantryDetectorTilt",
    "TableHeight",
    "DataCollectionDiameter",
    "ReconstructionDiameter",
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
    "RotationDirection",
    "SpiralPitchFactor",
    "RevolutionTime",
    "SingleCollimationWidth",
    "TotalCollimationWidth",
)
_BY_OPTION: dict[Retain, tuple[str, ...]] = {
    Retain.PATIENT: ("PatientSex", "PatientAge", "PatientSize", "PatientWeight"),
    Retain.DEVICE: ("ManufacturerModelName", "StationName", "DeviceSerialNumber"),
    Retain.INSTITUTION: ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
}
_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_TIMES = ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime")
_SOFTWARE = "ctxai"
#: Modified dates lie this many days earlier at most.
_LONGEST_SHIFT_DAYS = 3650


@dataclass(frozen=True)
class Confidentiality:
    """The Basic Profile with options, under a key.

    One key makes one pseudonym of one identity: objects that belong together stay together, in one call and in
    many. Without the key nobody can tell whether a pseudonym is that of a UID or patient whom he suspects; with it
    he can.

    Attributes:
        key: the secret.
        retain: what is kept beyond the Basic Profile.

    Raises:
        InputError: when the key is short, or dates are to be kept in two ways.
    """

    key: bytes
    retain: frozenset[Retain] = frozenset()

    def __post_init__(self) -> None:
        if len(self.key) < 16:
            raise InputError(f"the key for deidentification has {len(self.key)} bytes, expected 16 or more")
        if {Retain.DATES, Retain.MODIFIED_DATES} <= self.retain:
            raise InputError("--retain dates modified-dates: expected one of the two")

    @property
    def method_codes(self) -> tuple[Code, ...]:
        """Methods that were applied, in the words of DICOM's context group 7050."""
        return (*_ALWAYS, *(_OPTION[option] for option in Retain if option in self.retain))

    @property
    def keeps_references(self) -> bool:
        """Whether objects still lie over the original CT."""
        return Retain.UIDS in self.retain

    def token(self, *parts: str) -> bytes:
        """32 bytes that stand for ``parts`` under the key."""
        return token(self.key, *parts)

    def uid(self, uid: str) -> UID:
        """The UID that stands for another (under 2.25, PS3.5 B.2), or itself where UIDs are retained."""
        if self.keeps_references:
            return UID(uid)
        return UID(f"2.25.{uuid.UUID(bytes=self.token('uid', uid)[:16], version=4).int}")

    def series_key(self, series_uid: str) -> str:
        """Name for folders and logs of a series, as :attr:`ctxai.ct.series.CTSeries.key` is for its new UID."""
        return series_key(self.uid(series_uid))

    def header(self, image: Dataset) -> Dataset:
        """A new header of a CT image, with what the profile leaves of it.

        Args:
            image: the header as it is; it is not changed.

        Raises:
            InputError: when the image says that an annotation is burned into its pixels, which nothing here cleans.
        """
        if str(image.get("BurnedInAnnotation", "")).upper() == "YES":
            refuse_burned_in(("BurnedInAnnotation",))
        clean = Dataset()
        clean.SpecificCharacterSet = image.get("SpecificCharacterSet") or "ISO_IR 192"
        for keyword in (*_EMPTY, *_EXPECTED):
            setattr(clean, keyword, "")
        patient = _patient_of(image)
        clean.PatientID = f"PATIENT-{self.token('patient', *patient).hex()[:16].upper()}"
        clean.PatientName = clean.PatientID.replace("-", "^")
        _copy(image, clean, _KEPT)
        for option in self.retain & _BY_OPTION.keys():
            _copy(image, clean, _BY_OPTION[option])
        if self.retain & {Retain.DATES, Retain.MODIFIED_DATES}:
            _copy(image, clean, (*_DATES, *_TIMES))
            if Retain.MODIFIED_DATES in self.retain:
                self._shift(clean, *patient)
        for keyword in _UIDS:
            if image.get(keyword):
                setattr(clean, keyword, self.uid(str(image[keyword].value)))
        self._state(clean)
        return clean

    def _shift(self, clean: Dataset, *patient: str) -> None:
        """Move every date of a patient back by the same number of whole days."""
        days = 1 + int.from_bytes(self.token("days", *patient)[:8], "big") % _LONGEST_SHIFT_DAYS
        for keyword in _DATES:
            text = str(clean.get(keyword) or "")
            try:
                moved = datetime.datetime.strptime(text, "%Y%m%d").date() - datetime.timedelta(days)
            except (ValueError, OverflowError):
                clean.pop(keyword, None)
                if keyword in _EMPTY:
                    setattr(clean, keyword, "")
                continue
            setattr(clean, keyword, moved.strftime("%Y%m%d"))

    def _state(self, clean: Dataset) -> None:
        """Say what was done."""
        clean.PatientIdentityRemoved = "YES"
        meanings = (code.meaning[:64] for code in self.method_codes)
        clean.DeidentificationMethod = [f"{_SOFTWARE} {__version__}", *meanings]
        items = []
        for code in self.method_codes:
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, "DCM", code.meaning[:64]
            items.append(item)
        clean.DeidentificationMethodCodeSequence = items
        modified = "MODIFIED" if Retain.MODIFIED_DATES in self.retain else "REMOVED"
        clean.LongitudinalTemporalInformationModified = "UNMODIFIED" if Retain.DATES in self.retain else modified


def parse_retained(names: Iterable[str]) -> frozenset[Retain]:
    """Names of :class:`Retain`, as given on the command line.

    Raises:
        InputError: for another name.
    """
    try:
        return frozenset(map(Retain, names))
    except ValueError:
        unknown = next(name for name in names if name not in {*Retain})
        meant = did_you_mean(unknown, Retain)
        raise InputError(f"--retain {unknown}: expected some of {' '.join(Retain)}{meant}") from None


def asked_for(deidentify: bool, retain: Sequence[str], key: Path | None) -> Confidentiality | None:
    """Profile by the command line's options; None where they do not ask to deidentify.

    Args:
        deidentify: whether to.
        retain: names of :class:`Retain`.
        key: file with the secret; None for the user's own.

    Raises:
        InputError: for another name, for something to retain where nothing is deidentified, or without a usable key.
    """
    if not deidentify:
        if retain:
            raise InputError("--retain belongs to --deidentify; give both")
        return None
    retained = parse_retained(retain)
    return Confidentiality(read_key(key), retained)


def codes_of(confidentiality: Confidentiality | None) -> list[str]:
    """How results are deidentified: DICOM's codes, and a mark of the key; empty where they are not."""
    if confidentiality is None:
        return []
    return [*(code.value for code in confidentiality.method_codes), f"key-{confidentiality.token('mark').hex()[:8]}"]


def made_here(image: Dataset) -> bool:
    """Whether an image says that :meth:`Confidentiality.header` has made its header."""
    method = image.get("DeidentificationMethod") or ""
    return str(method if isinstance(method, str) else method[0]).startswith(f"{_SOFTWARE} ")


def _patient_of(image: Dataset) -> tuple[str, ...]:
    """A patient's id and its issuer, for two hospitals may give one id to two persons; without an id, the study."""
    patient = exact_text(image, "PatientID")
    issuer = exact_text(image, "IssuerOfPatientID")
    if not patient:
        return (str(image.get("StudyInstanceUID", "")),)
    return (patient, issuer) if issuer else (patient,)


def _copy(image: Dataset, clean: Dataset, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        if keyword in image:
            clean[keyword] = image[keyword]


def refuse_burned_in(visible_identity: Iterable[str]) -> None:
    """Refuse a CT whose header says that an annotation is burned into its pixels, which nothing here cleans.

    Args:
        visible_identity: attributes of the header that are YES, as in :class:`ctxai.ct.header.SliceHeader`.

    Raises:
        InputError: when BurnedInAnnotation (PS3.3 C.7.6.1.1) is among them.
    """
    if "BurnedInAnnotation" in visible_identity:
        raise InputError(
            "the CT says that annotations are burned into its pixels (BurnedInAnnotation YES); deidentification "
            "cleans no pixels, have them cleaned first"
        )
