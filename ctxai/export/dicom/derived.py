"""Common parts of all derived DICOM objects: identity from content, origin, dates, and writing.

A writer of one kind of object calls :func:`shared_arguments` for its highdicom constructor, adds what is its own, and
ends with :func:`finish_and_write`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from highdicom import ContributingEquipment
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from ctxai.disclaimer import RESEARCH_USE_ONLY
from ctxai.export.dicom import codes
from ctxai.export.dicom.part10 import Elements, digest_of, encode, write_file
from ctxai.export.dicom.source import SourceSeries, slice_distance_mm
from ctxai.export.provenance import Provenance, shorten
from ctxai.export.sparse import SparseVolume
from ctxai.files import atomic_path

BODY_PART = "CHEST"

_PLACEHOLDER = UID("2.25.0")
_PIXELS = ("PixelData", "FloatPixelData")
_STATED_BY_SOURCE = "LongitudinalTemporalInformationModified"
_WITH_UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "DimensionOrganizationSequence", "DimensionIndexSequence")
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


def document_arguments(source: SourceSeries) -> dict[str, Any]:
    """Attributes beyond :func:`shared_arguments` of objects that highdicom does not make from source images.

    Patient and study are to be copied afterwards, by highdicom's ``copy_patient_and_study_information``.
    """
    return {"study_instance_uid": source.first.StudyInstanceUID, "specific_character_set": "ISO_IR 192"}


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


def state_slice_distance(dataset: Dataset, source: SourceSeries) -> None:
    """Give a multi-frame object the measured distance of the CT's slices."""
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = f"{slice_distance_mm(source.grid):.8g}"


def finish_and_write(
    dataset: Dataset,
    source: SourceSeries,
    provenance: Provenance,
    path: Path | str,
    frames: SparseVolume | None = None,
    deflated: bool = False,
    encoded: Elements | None = None,
) -> Dataset:
    """:func:`finish_and_write_series` of a series of one object.

    Args:
        dataset: the object.
        source: the CT.
        provenance: how the content was made.
        path: file to write.
        frames: pixels [frame, row, column] or [frame, row, column, colour], float32 or uint8, in place of the object's
            own; those of a BINARY Segmentation have eight columns in a byte.
        deflated: write Deflated Explicit VR Little Endian instead of Explicit VR Little Endian.
        encoded: elements in place of the object's own.
    """
    pixels = None if frames is None else [frames]
    (reference,) = finish_and_write_series(dataset, source, provenance, {Path(path): encoded or {}}, pixels, deflated)
    return reference


def finish_and_write_series(
    dataset: Dataset,
    source: SourceSeries,
    provenance: Provenance,
    files: Mapping[Path, Elements],
    frames: Iterable[SparseVolume] | None = None,
    deflated: bool = False,
) -> list[Dataset]:
    """Give the objects of one series their dates and UIDs and write them, so that the same inputs make the same files.

    The UIDs are made from all that the objects say, pixels included: an object that differs in anything has another
    SOP Instance UID, and a series that differs in any object another Series Instance UID.

    Args:
        dataset: what the objects share.
        source: the CT.
        provenance: how the content was made.
        files: the files to write, each with the elements that are its object's own.
        frames: as in :func:`finish_and_write`, for each object; taken twice.
        deflated: as in :func:`finish_and_write`.

    Returns:
        For each object what another needs in order to refer to it: its class and its three UIDs.
    """
    pixels: Iterable[SparseVolume | None] = [None] * len(files) if frames is None else frames
    _complete(dataset, source, provenance)
    if frames is not None:
        dataset.Rows, dataset.Columns = source.grid.shape[1:]
        for keyword in _PIXELS:
            dataset.pop(keyword, None)
    if deflated:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    _set_dimension_organization(dataset, _PLACEHOLDER)
    shared = encode(dataset)
    digests = [digest_of(shared | elements, own) for elements, own in zip(files.values(), pixels, strict=True)]
    dataset.SeriesInstanceUID = content_uid("series", *digests)
    references = []
    for (path, elements), digest, own in zip(files.items(), digests, pixels, strict=True):
        dataset.SOPInstanceUID = content_uid("instance", digest)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        _set_dimension_organization(dataset, content_uid("dimensions", digest))
        with_uids = Dataset()
        for keyword in _WITH_UIDS:
            if keyword in dataset:
                with_uids[keyword] = dataset[keyword]
        with atomic_path(path) as temporary:
            write_file(temporary, dataset.file_meta, shared | elements | encode(with_uids), own)
        references.append(_reference_to(dataset))
    return references


def _complete(dataset: Dataset, source: SourceSeries, provenance: Provenance) -> None:
    """Give an object the patient, and dates that are not those of the writing."""
    # New elements: those that are there belong to the source's images as well.
    with config.disable_value_validation():  # its warnings would quote them
        for keyword, value in source.identity.items():
            dataset.add_new(keyword, dictionary_VR(keyword), value)
    if any(keyword in dataset for keyword in _PIXELS):
        dataset.BodyPartExamined = BODY_PART
        dataset.DerivationDescription = provenance.describe(1024)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = source.created
    if _STATED_BY_SOURCE in source.first:  # highdicom copies the other attributes of deidentification
        dataset[_STATED_BY_SOURCE] = source.first[_STATED_BY_SOURCE]
    for item in dataset.get("ContributingEquipmentSequence", []):
        if item.get("ManufacturerModelName") == "highdicom":
            del item.ContributionDateTime  # the moment of writing


def _reference_to(dataset: Dataset) -> Dataset:
    reference = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(reference, keyword, dataset[keyword].value)
    return reference


def _set_dimension_organization(dataset: Dataset, uid: UID) -> None:
    for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(keyword, []):
            item.DimensionOrganizationUID = uid
