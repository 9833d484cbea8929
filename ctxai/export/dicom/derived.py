"""What all derived DICOM objects share: identity from content, origin, dates, and writing.

A writer of one kind of object calls :func:`shared_arguments` for its highdicom constructor, adds what is its own, and
ends with :func:`finish_and_write`.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import deflate
import numpy as np
from highdicom import ContributingEquipment
from pydicom import config
from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, validate_file_meta
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_dataset, write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from ctxai.disclaimer import RESEARCH_USE_ONLY
from ctxai.errors import InputError
from ctxai.export.dicom import codes
from ctxai.export.dicom.source import SourceSeries, slice_distance_mm
from ctxai.export.provenance import Provenance, shorten
from ctxai.export.sparse import content_rows, zeros
from ctxai.files import atomic_path

BODY_PART = "CHEST"

_LEVEL = 1  # of libdeflate: a map is 0 nearly everywhere, and higher levels gain little
_LONGEST = 2**32 - 2  # bytes of a value (PS3.5 7.1.1)
_PLACEHOLDER = UID("2.25.0")
_PIXELS = ("PixelData", "FloatPixelData")
_STATED_BY_SOURCE = "LongitudinalTemporalInformationModified"
_FRAME_GROUPS = Tag("PerFrameFunctionalGroupsSequence")
_AFTER_FRAME_GROUPS = Tag(_FRAME_GROUPS + 1)
_BULK = (*_PIXELS, "EncapsulatedDocument")
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
    """What :func:`shared_arguments` lacks for objects that highdicom does not make from source images.

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
    frames: np.ndarray | None = None,
    deflated: bool = False,
) -> Dataset:
    """:func:`finish_and_write_series` of a series of one object.

    Args:
        dataset: the object.
        source: the CT.
        provenance: how the content was made.
        path: file to write.
        frames: pixels [frame, row, column] or [frame, row, column, colour], float32 or uint8, in place of the object's
            own: they are written from where they lie, for copies of a whole volume are what memory is short of.
        deflated: write Deflated Explicit VR Little Endian instead of Explicit VR Little Endian.
    """
    if deflated:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    (reference,) = finish_and_write_series([dataset], source, provenance, [path], [frames])
    return reference


def finish_and_write_series(
    datasets: Sequence[Dataset],
    source: SourceSeries,
    provenance: Provenance,
    paths: Sequence[Path | str],
    frames: Sequence[np.ndarray | None] | None = None,
) -> list[Dataset]:
    """Give the objects of one series their dates and UIDs and write them, so that the same inputs make the same files.

    The UIDs are made from all that the objects say, pixels included: an object that differs in anything has another
    SOP Instance UID, and a series that differs in any object another Series Instance UID.

    Args:
        datasets: the objects.
        source: the CT.
        provenance: how the content was made.
        paths: files to write.
        frames: as in :func:`finish_and_write`, for each object; taken twice.

    Returns:
        For each object what another needs in order to refer to it: its class and its three UIDs.
    """
    pixels = [None] * len(datasets) if frames is None else frames
    digests = []
    encoded = []
    for dataset, own in zip(datasets, pixels, strict=True):
        # New elements: those that are there belong to the source's images as well.
        with config.disable_value_validation():  # its warnings would quote them
            for keyword, value in source.identity.items():
                dataset.add_new(keyword, dictionary_VR(keyword), value)
        if any(keyword in dataset for keyword in _PIXELS):  # highdicom's, also where ``frames`` replace them
            dataset.BodyPartExamined = BODY_PART
            dataset.DerivationDescription = provenance.describe(1024)
        dataset.InstanceCreationDate, dataset.InstanceCreationTime = source.created
        if _STATED_BY_SOURCE in source.first:  # highdicom copies the rest of what deidentification says of itself
            dataset[_STATED_BY_SOURCE] = source.first[_STATED_BY_SOURCE]
        for item in dataset.get("ContributingEquipmentSequence", []):
            if item.get("ManufacturerModelName") == "highdicom":
                del item.ContributionDateTime  # the moment of writing
        if own is not None:
            dataset.Rows, dataset.Columns = own.shape[1:3]
            del dataset[_keyword_of(own)]
        encoded.append(_encode_frame_groups(dataset))
        digests.append(_digest(dataset, encoded[-1], own))
    series_uid = content_uid("series", *digests)
    for dataset, digest, path, groups, own in zip(datasets, digests, paths, encoded, pixels, strict=True):
        dataset.SOPInstanceUID = content_uid("instance", digest)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.SeriesInstanceUID = series_uid
        _set_dimension_organization(dataset, content_uid("dimensions", digest))
        with atomic_path(path) as temporary:
            _save(dataset, temporary, groups, own)
    return [_reference_to(dataset) for dataset in datasets]


def _encode_frame_groups(dataset: Dataset) -> bytes:
    """Per-frame functional groups, Explicit VR Little Endian; most of a header, and the same for digest and file."""
    return _encoded(dataset[_FRAME_GROUPS:_AFTER_FRAME_GROUPS], dataset.get("SpecificCharacterSet", default_encoding))


def _encoded_with(dataset: Dataset, groups: bytes) -> bytes:
    """Explicit VR Little Endian of an object whose per-frame functional groups are encoded already."""
    characters = dataset.get("SpecificCharacterSet", default_encoding)
    head, tail = dataset[:_FRAME_GROUPS], dataset[_AFTER_FRAME_GROUPS:]
    if "PixelData" in tail:
        correct_ambiguous_vr_element(tail["PixelData"], dataset, is_little_endian=True)
    return _encoded(head, characters) + groups + _encoded(tail, characters)


def _save(dataset: Dataset, path: Path, groups: bytes, frames: np.ndarray | None) -> None:
    """Write a file; libdeflate deflates to the same bytes on every processor, and faster than pydicom's zlib."""
    deflated = dataset.file_meta.TransferSyntaxUID.is_deflated
    if frames is None and not deflated:
        dataset.save_as(path, enforce_file_format=True)
        return
    validate_file_meta(dataset.file_meta, enforce_standard=True)
    meta = DicomBytesIO()
    write_file_meta_info(meta, dataset.file_meta, enforce_standard=True)
    with path.open("wb") as file:
        file.write(b"\0" * 128 + b"DICM" + meta.getvalue())
        head = _encoded_with(dataset, groups)
        if frames is not None:  # the last element: all others have lower tags
            head += _element_of(frames)
        if deflated:
            compressed = deflate.deflate_compress(_joined(head, frames), _LEVEL)
            file.write(compressed + b"\0" * (len(compressed) % 2))
        else:
            assert frames is not None
            file.write(head)
            file.write(frames.data)
            file.write(b"\0" * (frames.nbytes % 2))


def _joined(head: bytes, frames: np.ndarray | None) -> np.ndarray:
    """Both as bytes in a row; memory is taken only where frames are not 0."""
    if frames is None:
        return np.frombuffer(head, np.uint8)
    pixels = frames.view(np.uint8)
    content = zeros([len(head) + pixels.size + pixels.size % 2], np.uint8)
    content[: len(head)] = np.frombuffer(head, np.uint8)
    copy = content[len(head) :][: pixels.size].reshape(pixels.shape)
    for number, rows in content_rows(pixels):
        copy[number, rows] = pixels[number, rows]
    return content


def _keyword_of(frames: np.ndarray) -> str:
    return "FloatPixelData" if frames.dtype.kind == "f" else "PixelData"


def _element_of(frames: np.ndarray) -> bytes:
    """Tag, value representation and length of frames, Explicit VR Little Endian (PS3.5 7.1.2)."""
    tag = Tag(_keyword_of(frames))
    length = frames.nbytes + frames.nbytes % 2
    if length > _LONGEST:
        raise InputError(f"pixels of {length / 2**30:.1f} GiB do not fit into a DICOM element; write nifti")
    vr = b"OF" if frames.dtype.kind == "f" else b"OB"
    return struct.pack("<HH2s2xL", tag.group, tag.element, vr, length)


def _encoded(dataset: Dataset, characters: str | list[str]) -> bytes:
    """Explicit VR Little Endian."""
    encoded = DicomBytesIO()
    encoded.is_little_endian, encoded.is_implicit_VR = True, False
    write_dataset(encoded, dataset, characters)
    return encoded.getvalue()


def _reference_to(dataset: Dataset) -> Dataset:
    reference = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(reference, keyword, dataset[keyword].value)
    return reference


def _set_dimension_organization(dataset: Dataset, uid: UID) -> None:
    for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(keyword, []):
            item.DimensionOrganizationUID = uid


def _digest(dataset: Dataset, groups: bytes, frames: np.ndarray | None) -> str:
    """SHA-256 of all that an object says, besides the UIDs that are made from it."""
    _set_dimension_organization(dataset, _PLACEHOLDER)
    sha256 = hashlib.sha256()
    rest = Dataset()
    for element in dataset:
        if element.keyword in _BULK:
            sha256.update(element.value)
        else:
            rest.add(element)
    if frames is not None:
        sha256.update(frames.data)
        sha256.update(b"\0" * (frames.nbytes % 2))
    sha256.update(_encoded_with(rest, groups))
    return sha256.hexdigest()
