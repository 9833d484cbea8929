import warnings

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ctxai.ct.dicom_errors import refuse_bomb, without_warnings
from ctxai.errors import InputError

from synthetic_ct import write_ct


def test_a_deflated_image_is_refused_only_beyond_the_limit(tmp_path, monkeypatch):
    path = write_ct(tmp_path, np.zeros((2, 64, 64), np.int16))[0]
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert path.stat().st_size < 2000
    with path.open("rb") as file:
        refuse_bomb(file, path)
        monkeypatch.setattr("ctxai.ct.dicom_errors._MAX_INFLATED", 4000)
        with pytest.raises(InputError, match="inflates to more than"):
            refuse_bomb(file, path)


def test_an_image_that_is_not_deflated_is_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("ctxai.ct.dicom_errors._MAX_INFLATED", 0)
    path = write_ct(tmp_path, np.zeros((2, 64, 64), np.int16))[0]
    with path.open("rb") as file:
        refuse_bomb(file, path)


@without_warnings()
def test_a_value_that_breaks_dicoms_rules_is_read_in_silence():
    warnings.warn("value SECRET is invalid", UserWarning, stacklevel=1)
    assert pydicom.DataElement("SeriesInstanceUID", "UI", "no uid").value == "no uid"
