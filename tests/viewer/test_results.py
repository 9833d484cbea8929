from __future__ import annotations

import numpy as np
import pytest

from ctxai.ct.series import read_series
from ctxai.errors import InputError
from ctxai.export import (
    Provenance,
    SegmentedNodule,
    SourceSeries,
    write_heat_bands,
    write_nodule_segmentation,
    write_parametric_maps,
)
from ctxai.viewer.results import reviewed_series

from folders import record_series
from synthetic_ct import write_ct

SHAPE = (3, 8, 8)


@pytest.fixture
def results(tmp_path):
    """A result folder with one series, two targets, and the CT beside it."""
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16))
    series = read_series(tmp_path / "ct")
    source = SourceSeries.from_series(series)
    out = tmp_path / "out"
    folder = out / series.key
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[1, 2:4, 3:6] = 1
    maps = [("smooth_cdam", "malignancy"), ("cdam", "calcification")]
    for method, target in maps:
        provenance = Provenance(method, target)
        write_parametric_maps(folder / "dicom" / "pmap", volume, source, provenance)
        write_heat_bands(folder / "dicom" / "seg" / f"{provenance.stem}_bands.dcm", volume, source, provenance)
    labels = (volume > 0).astype(np.uint8)
    nodules = folder / "dicom" / "seg" / "nodules.dcm"
    write_nodule_segmentation(nodules, labels, [SegmentedNodule("n/1")], source, Provenance("readers", "consensus"))
    record_series(folder, tmp_path / "ct", [{f"{method}_{target}_inside": 0.5 for method, target in maps}])
    return out


def test_a_series_comes_with_its_objects_and_its_ct(results, tmp_path):
    (one,), count = reviewed_series(results)
    assert count == 1
    assert one.ct == tmp_path / "ct"
    assert len(one.files) == 7
    assert one.study_uid == read_series(tmp_path / "ct").study_uid


@pytest.mark.parametrize(
    ("wanted", "file"),
    [
        ("bands", "smooth_cdam_malignancy_bands"),  # what was asked for first, before the alphabet
        ("map", "smooth_cdam_malignancy_for"),
        ("nodules", "nodules"),
        ("cdam_calcification_against", "cdam_calcification_against"),
    ],
)
def test_the_overlay_is_the_one_that_is_wanted(results, wanted, file):
    (one,), _ = reviewed_series(results)
    assert one.overlay(wanted).path.stem == file


def test_another_kind_stands_in_for_one_that_was_not_written(results):
    for file in results.glob("*/dicom/seg/*_bands.dcm"):
        file.unlink()
        record_series(file.parents[2])
    (one,), _ = reviewed_series(results)
    assert one.overlay("bands").path.stem == "cdam_calcification_for"  # a record without rows: by the alphabet


def test_a_name_that_is_not_there_is_refused_with_those_there_are(results):
    (one,), _ = reviewed_series(results)
    with pytest.raises(
        InputError, match=r"--overlay heat: expected one of bands, map, nodules, .*cdam_calcification_for"
    ):
        one.overlay("heat")


def test_series_without_objects_are_passed_over_and_unknown_ones_refused(results):
    empty = results / "000000000000"
    record_series(empty)
    (one,), count = reviewed_series(results)
    assert (one.key, count) == (next(p.name for p in results.iterdir() if p != empty), 1)
    with pytest.raises(InputError, match="--series 000000000000: no such series"):
        reviewed_series(results, ["000000000000"])


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="no explained series with DICOM objects"):
        reviewed_series(tmp_path)


def test_a_damaged_object_is_named(results):
    file = next(results.glob("*/dicom/seg/nodules.dcm"))
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"nodules\.dcm: is not what `ctxai explain` wrote"):
        reviewed_series(results)
    record_series(file.parents[2])
    with pytest.raises(InputError, match=r"nodules\.dcm: damaged DICOM object"):
        reviewed_series(results)
