"""The CT itself, deidentified: what deidentified overlays lie over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from ctxai.ct.dicom_errors import PARSE_ERRORS, without_warnings
from ctxai.ct.series import CTSeries
from ctxai.deidentification.profile import Confidentiality
from ctxai.errors import InputError, kind_of
from ctxai.files import atomic_path


def write_clean_ct(folder: Path, series: CTSeries, confidentiality: Confidentiality) -> None:
    """Write every image of a series with a new header and its pixel values alone, uncompressed.

    Bits that belong to no value go, for old files keep an overlay there; so do bytes after the pixels, and comments of
    compressed images.

    Args:
        folder: where; the files are numbered in the order of the slices.
        series: the CT.
        confidentiality: what is kept.

    Raises:
        InputError: when an image cannot be deidentified, or the disk is full.
    """
    for number, header in enumerate(series.headers, start=1):
        with without_warnings(), config.disable_value_validation():  # warnings would quote the patient's data
            image = pydicom.dcmread(header.path)
            clean = confidentiality.header(image)
            try:
                clean.PixelData = _values_alone(image)
            except (*PARSE_ERRORS, RuntimeError) as error:
                raise InputError(
                    f"image {number}: pixels cannot be decoded ({kind_of(error)}); export it again"
                ) from None
            clean["PixelData"].VR = "OW" if image.BitsAllocated > 8 else "OB"
            clean.file_meta = FileMetaDataset()
            clean.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            with atomic_path(folder / f"{number:04d}.dcm") as temporary:
                clean.save_as(temporary, enforce_file_format=True)


def _values_alone(image: Dataset) -> bytes:
    """Pixel values in their place within the allocated bits, little endian, and nothing else.

    Bits above a value are its sign, or 0; bits below it are 0.
    """
    stored = np.asarray(image.pixel_array)
    bits, high = int(image.BitsStored), int(image.HighBit)
    below = high - bits + 1
    container = np.dtype(
        f"<i{image.BitsAllocated // 8}" if image.PixelRepresentation else f"<u{image.BitsAllocated // 8}"
    )
    unused = int(image.BitsAllocated) - 1 - high
    raw = stored.astype(container)
    raw = (raw << unused) >> unused  # arithmetic where values are signed
    raw = (raw >> below) << below
    content = raw.astype(container).tobytes()
    return content + b"\0" * (len(content) % 2)
