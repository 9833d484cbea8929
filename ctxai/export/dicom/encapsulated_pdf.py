"""A PDF as a DICOM object of the CT's study (PS3.3 A.45.1)."""

from __future__ import annotations

from pathlib import Path

from highdicom.base import SOPClass
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from ctxai.export.dicom import codes
from ctxai.export.dicom.derived import document_arguments, finish_and_write, shared_arguments
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.provenance import Provenance

_SERIES_NUMBER = 9401


def write_encapsulated_pdf(
    path: Path | str, pdf: bytes, source: SourceSeries, provenance: Provenance, title: str = "Nodule report (PDF)"
) -> Dataset:
    """Wrap a PDF so that an archive keeps it with the CT.

    Args:
        path: file to write.
        pdf: the document; equal content must be equal bytes, or the object's UID changes.
        source: the CT.
        provenance: how the content was made.
        title: of the document and its series.

    Returns:
        A reference to the object.
    """
    shared = shared_arguments(source, provenance, title, _SERIES_NUMBER)
    equipment = shared.pop("contributing_equipment")
    dataset = SOPClass(
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **shared,
        **document_arguments(source),
    )
    dataset.copy_patient_and_study_information(source.first)
    dataset.ContributingEquipmentSequence = equipment
    dataset.ConversionType = "WSD"  # workstation
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "NO"  # no page says who the patient is
    dataset.DocumentTitle = title
    dataset.ConceptNameCodeSequence = [CodedConcept.from_code(codes.CT_CHEST)]
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.SourceInstanceSequence = [_referenced(image) for image in source.instances]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return finish_and_write(dataset, source, provenance, path)


def _referenced(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item
