"""Synthetic slices as CT Image Storage objects that say in many places that they are synthetic."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from ctxai import __version__
from ctxai.lidc.database import Scan
from ctxai.phantom.scanner.scanner import PADDING_STORED, Scanner

IMPLEMENTATION_UID = UID("2.25.204318562201977351245609021863017042931")
DATE, TIME = "20000101", "120000"

#: Of every object that the phantom writes.
MANUFACTURER = "ctxai (synthetic phantom)"


def derived_uid(*parts: object) -> str:
    """A UID under the 2.25 root made from ``parts``: the same parts give the same UID."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big') | 1 << 127}"


def series_header(scan: Scan, scanner: Scanner, rows: int, intercept: int, seed: int) -> Dataset:
    """All attributes that the slices of one synthetic series share."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    header.SOPClassUID = CTImageStorage
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = DATE
    header.StudyTime = header.SeriesTime = header.AcquisitionTime = header.ContentTime = TIME
    header.AccessionNumber = ""
    header.Modality = "CT"
    header.Manufacturer = MANUFACTURER
    header.ManufacturerModelName = "ctxai phantom"
    header.SoftwareVersions = __version__
    header.ReferringPhysicianName = ""
    header.StudyDescription = "SYNTHETIC: not a patient"
    header.SeriesDescription = "SYNTHETIC chest CT phantom drawn from LIDC-IDRI outlines"
    header.DerivationDescription = f"Computer-generated phantom, seed {seed}; outlines and ratings of LIDC-IDRI readers"
    header.PatientName = f"Synthetic^{scan.patient_id}"
    header.PatientID = scan.patient_id
    header.PatientBirthDate = ""
    header.PatientSex = ""
    header.PatientComments = "SYNTHETIC image: no patient was scanned"
    header.PatientIdentityRemoved = "YES"
    header.DeidentificationMethod = "No patient: synthetic image"
    if scan.contrast_used:
        header.ContrastBolusAgent = "SYNTHETIC"
    header.BodyPartExamined = "CHEST"
    header.ScanOptions = "SYNTHETIC"
    header.SliceThickness = _decimal(scan.slice_thickness_mm)
    header.KVP = "120"
    header.ReconstructionDiameter = _decimal(rows * scan.pixel_spacing_mm)
    header.GantryDetectorTilt = "0"
    header.ConvolutionKernel = scanner.kernel
    header.PatientPosition = "FFS"
    header.StudyInstanceUID = scan.study_uid
    header.SeriesInstanceUID = scan.series_uid
    header.StudyID = "SYNTHETIC"
    header.SeriesNumber = "1"
    header.AcquisitionNumber = "1"
    header.FrameOfReferenceUID = derived_uid("frame of reference", scan.series_uid, seed)
    header.PositionReferenceIndicator = ""
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.ImageComments = "SYNTHETIC"
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows = header.Columns = rows
    header.PixelSpacing = [_decimal(scan.pixel_spacing_mm)] * 2
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = 1
    if scanner.circle:
        header.PixelPaddingValue = PADDING_STORED
    header.BurnedInAnnotation = "NO"
    header.LossyImageCompression = "00"
    header.WindowCenter, header.WindowWidth = "-600", "1500"
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = str(intercept), "1", "HU"
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = CTImageStorage
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    header.file_meta.ImplementationVersionName = "CTXAI_PHANTOM"
    return header


def write_slice(
    path: Path, header: Dataset, stored: np.ndarray, z_mm: float, number: int, content: tuple[object, ...]
) -> None:
    """Write one slice.

    Args:
        path: file to write.
        header: what :func:`series_header` gave; its slice attributes are overwritten.
        stored: int16 (row, column).
        z_mm: position of the slice.
        number: InstanceNumber.
        content: what the object's UID is made from.
    """
    uid = derived_uid("slice", header.SeriesInstanceUID, number, *content)
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    header.InstanceNumber = str(number)
    half = 0.5 * (header.Rows - 1) * float(header.PixelSpacing[0])
    header.ImagePositionPatient = [_decimal(-half), _decimal(-half), _decimal(z_mm)]
    header.SliceLocation = _decimal(z_mm)
    header.PixelData = stored.astype("<i2", copy=False).tobytes()
    dcmwrite(path, header, enforce_file_format=True)


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters that is nearest to ``value``."""
    for digits in range(16, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.1g}"
