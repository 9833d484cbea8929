"""What all derived DICOM objects share: identity from content, origin, dates, and writing.

A writer of one kind of object calls :func:`shared_arguments` for its highdicom constructor, adds what is its own, and
ends with :func:`finish_and_write`.
"""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

from highdicom import ContributingEquipment
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from ctxai.export import codes
from ctxai.export.provenance import RESEARCH_USE_ONLY, Provenance, shorten
from ctxai.export.source import SourceSeries
from ctxai.files import atomic_path

BODY_PART = "CHEST"

_PLACEHOLDER = UID("2.25.0")
_BULK = ("PixelData", "FloatPixelData", "EncapsulatedDocument")
_ROOT = uuid.uuid5(uuid.NAMESPACE_DNS, "ctxai")


def content_uid(*parts: str) -> UID:
    """The UID of what ``parts`` spell: equal for equal parts, under 2.25 (DICOM PS3.5 B.2, a name-based UUID)."""
    return UID(f"2.25.{uuid.uuid5(_ROOT, chr(0).join(parts)).int}")


def tracking_uid(source: SourceSeries, nodule_id: str) -> UID:
    """The UID by which all objects of one CT series mean the same nodule."""
    return content_uid("nodule", str(source.first.SeriesInstanceUID), nodule_id)


def shared_arguments(source: SourceSeries, provenance: Provenance, title: str, series_number: int) -> dict[str, Any]:
    """Arguments that all of highdicom's constructors take.

    Args:
        source: the CT.
        provenance: how the content was made.
        title: what a person reads in a list of series; the notice "research use only" is added.
        series_number: number of the new series.
    """
    date, time = source.created
    return {
        "series_instance_uid": _PLACEHOLDER,
        "sop_instance_uid": _PLACEHOLDER,
        "series_number": series_number,
        "instance_number": 1,
        "manufacturer": "ctxai",
        "manufacturer_model_name": provenance.software,
        "software_versions": provenance.version,
        "device_serial_number": provenance.weights_sha256[:16] or "none",
        "series_description": series_description(title),
        "content_date": date,
        "content_time": time,
        "series_date": date,
        "series_time": time,
        "contributing_equipment": [equipment(provenance)],
    }


def series_description(title: str) -> str:
    """``title`` with the notice, at most the 64 characters that DICOM allows."""
    notice = f" - {RESEARCH_USE_ONLY}"
    return shorten(title, 64 - len(notice)) + notice


def equipment(provenance: Provenance) -> ContributingEquipment:
    """The software as contributing equipment: version, method, options, target and the weights' checksum."""
    return ContributingEquipment(
        manufacturer="ctxai",
        purpose_of_reference=codes.PROCESSING_EQUIPMENT,
        manufacturer_model_name=provenance.software,
        software_versions=provenance.version,
        contribution_description=provenance.describe(1024),
    )


def finish_and_write(dataset: Dataset, source: SourceSeries, provenance: Provenance, path: Path | str) -> None:
    """Give an object its dates and UIDs and write it, so that the same inputs make the same file.

    The UIDs are made from all that the object says, pixels included: objects that differ in anything have different
    SOP Instance and Series Instance UIDs.
    """
    # A new element: the one that is there belongs to the source's images as well.
    dataset.add_new(tag_for_keyword("PatientName"), "PN", source.patient_name)
    dataset.BodyPartExamined = BODY_PART
    dataset.DerivationDescription = provenance.describe(1024)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = source.created
    for item in dataset.get("ContributingEquipmentSequence", []):
        if item.get("ManufacturerModelName") == "highdicom":
            del item.ContributionDateTime  # the moment of writing
    digest = _digest(dataset)
    dataset.SOPInstanceUID = content_uid("instance", digest)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesInstanceUID = content_uid("series", digest)
    _set_dimension_organization(dataset, content_uid("dimensions", digest))
    with atomic_path(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def _set_dimension_organization(dataset: Dataset, uid: UID) -> None:
    for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(keyword, []):
            item.DimensionOrganizationUID = uid


def _digest(dataset: Dataset) -> str:
    """SHA-256 of all that an object says, besides the UIDs that are made from it."""
    _set_dimension_organization(dataset, _PLACEHOLDER)
    sha256 = hashlib.sha256()
    rest = Dataset()
    for element in dataset:
        if element.keyword in _BULK:
            sha256.update(element.value)
        else:
            rest.add(element)
    encoded = DicomBytesIO()
    encoded.is_little_endian, encoded.is_implicit_VR = True, False
    write_dataset(encoded, rest)
    sha256.update(encoded.getvalue())
    return sha256.hexdigest()
