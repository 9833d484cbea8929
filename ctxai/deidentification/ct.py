"""The CT itself, deidentified: what deidentified overlays lie over."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.dataset import FileMetaDataset

from ctxai.ct.series import CTSeries
from ctxai.deidentification.profile import Confidentiality
from ctxai.files import atomic_path

_PIXELS = ("PixelData", "FloatPixelData")


def write_clean_ct(folder: Path, series: CTSeries, confidentiality: Confidentiality) -> None:
    """Write every image of a series with a new header and its pixels as they are, compressed or not.

    Args:
        folder: where; the files are numbered in the order of the slices.
        series: the CT.
        confidentiality: what is kept.

    Raises:
        InputError: when an image cannot be deidentified, or the disk is full.
    """
    for number, header in enumerate(series.headers, start=1):
        image = pydicom.dcmread(header.path)
        clean = confidentiality.header(image)
        for keyword in _PIXELS:
            if keyword in image:
                clean[keyword] = image[keyword]
        clean.file_meta = FileMetaDataset()
        clean.file_meta.TransferSyntaxUID = image.file_meta.TransferSyntaxUID
        with atomic_path(folder / f"{number:04d}.dcm") as temporary:
            clean.save_as(temporary, enforce_file_format=True)
