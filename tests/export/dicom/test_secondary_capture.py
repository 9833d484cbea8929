from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from ctxai.errors import InputError
from ctxai.export import SourceSeries, write_secondary_capture

from synthetic_ct import SCANS


@pytest.fixture
def pictures() -> dict[int, np.ndarray]:
    rng = np.random.default_rng(0)
    return {number: rng.integers(0, 256, (24, 32, 3), dtype=np.uint8) for number in (7, 5, 6)}


@pytest.mark.parametrize("name", SCANS)
def test_each_picture_lies_on_its_own_slice(scan, name, pictures, provenance, tmp_path):
    series = scan(name)
    write_secondary_capture(tmp_path / "sc", pictures, SourceSeries.from_series(series), provenance)
    files = sorted((tmp_path / "sc").glob("*.dcm"))
    for file, number in zip(files, (5, 6, 7), strict=True):
        image = sitk.ReadImage(file)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], pictures[number])
        np.testing.assert_allclose(image.GetOrigin(), series.headers[number].position, atol=0.01)
        np.testing.assert_allclose(image.GetSpacing()[:2], series.grid.spacing_mm[:2], atol=1e-6)
        dataset = pydicom.dcmread(file)
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == series.headers[number].sop_uid


def test_the_pictures_are_one_series_in_the_order_of_the_slices(source, pictures, provenance, tmp_path):
    references = write_secondary_capture(tmp_path, pictures, source, provenance)
    datasets = [pydicom.dcmread(file) for file in sorted(tmp_path.glob("*.dcm"))]
    assert [dataset.InstanceNumber for dataset in datasets] == [1, 2, 3]
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 1
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 3
    assert [dataset.SOPInstanceUID for dataset in datasets] == [one.SOPInstanceUID for one in references]
    assert datasets[0].PatientOrientation == ["L", "P"]
    assert datasets[0].SeriesDescription == "CDAM malignancy on CT - research use only"


def test_one_changed_pixel_gives_the_whole_series_another_uid(source, pictures, provenance, tmp_path):
    before = write_secondary_capture(tmp_path, pictures, source, provenance)
    pictures[6][3, 4, 0] ^= 1
    after = write_secondary_capture(tmp_path, pictures, source, provenance)
    assert before[0].SeriesInstanceUID != after[0].SeriesInstanceUID
    assert [a.SOPInstanceUID == b.SOPInstanceUID for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_wrong_pictures_are_refused_in_one_line(source, pictures, provenance, tmp_path):
    with pytest.raises(InputError, match="no slice to show"):
        write_secondary_capture(tmp_path, {}, source, provenance)
    with pytest.raises(InputError, match="picture of slice 6: expected uint8"):
        write_secondary_capture(tmp_path, pictures | {6: pictures[6][:-1]}, source, provenance)
    assert list(tmp_path.glob("*.dcm")) == []
