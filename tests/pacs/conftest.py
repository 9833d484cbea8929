"""A CT series on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage

from synthetic_ct import write_ct


@pytest.fixture
def ct_files(tmp_path: Path) -> list[Path]:
    """Five slices."""
    return write_ct(tmp_path / "ct", np.arange(5 * 8 * 8, dtype=np.int16).reshape(5, 8, 8))


@pytest.fixture
def deflated_file(ct_files: list[Path]) -> Path:
    """A deflated object of another class."""
    deflated = dcmread(ct_files[0])
    deflated.SOPClassUID = deflated.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = ct_files[0].with_name("deflated.dcm")
    deflated.save_as(path)
    return path
