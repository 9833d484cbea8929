from __future__ import annotations

import dataclasses

import numpy as np
import pydicom
import pytest

from ctxai.errors import InputError
from ctxai.export import SourceSeries, write_fractional_evidence

from synthetic_ct import SCANS


def graded(file, grid) -> np.ndarray:
    """Stored values [segment, slice, row, column], each frame placed by its own position."""
    dataset = pydicom.dcmread(file)
    values = np.zeros((len(dataset.SegmentSequence), *grid.shape), dtype=np.uint8)
    for frame, item in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        place = grid.to_index(np.array(item.PlanePositionSequence[0].ImagePositionPatient, dtype=float))
        np.testing.assert_allclose(place, [0, 0, round(place[2])], atol=0.001)
        segment = item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        values[segment - 1, round(place[2])] = frame
    return values


@pytest.mark.parametrize("name", SCANS)
def test_both_halves_are_graded_in_255_steps_where_the_ct_has_them(scan, name, signed_map, provenance, tmp_path):
    series = scan(name)
    write_fractional_evidence(tmp_path / "map.dcm", signed_map, SourceSeries.from_series(series), provenance)
    share = signed_map / np.abs(signed_map).max()
    found = graded(tmp_path / "map.dcm", series.grid) / 255
    np.testing.assert_allclose(found[0], np.maximum(share, 0), atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(found[1], np.maximum(-share, 0), atol=0.5 / 255 + 1e-6)
    assert found[0].max() == 1


def test_the_segments_are_fractional_and_say_which_evidence_they_hold(source, signed_map, provenance, tmp_path):
    write_fractional_evidence(tmp_path / "map.dcm", signed_map, source, provenance)
    dataset = pydicom.dcmread(tmp_path / "map.dcm")
    assert dataset.SegmentationType == "FRACTIONAL"
    assert dataset.MaximumFractionalValue == 255
    labels = [segment.SegmentLabel for segment in dataset.SegmentSequence]
    assert labels == ["malignancy: evidence for", "malignancy: evidence against"]


def test_an_unsigned_method_has_one_segment(source, signed_map, provenance, tmp_path):
    unsigned = dataclasses.replace(provenance, signed=False)
    write_fractional_evidence(tmp_path / "map.dcm", np.abs(signed_map), source, unsigned)
    assert len(pydicom.dcmread(tmp_path / "map.dcm").SegmentSequence) == 1
    with pytest.raises(InputError, match="said to be unsigned"):
        write_fractional_evidence(tmp_path / "map.dcm", signed_map, source, unsigned)


def test_an_empty_map_is_a_valid_object(source, signed_map, provenance, tmp_path):
    write_fractional_evidence(tmp_path / "map.dcm", signed_map * 0, source, provenance)
    assert not pydicom.dcmread(tmp_path / "map.dcm").pixel_array.any()


def test_a_map_that_is_not_on_the_ct_is_refused(source, signed_map, provenance, tmp_path):
    with pytest.raises(InputError, match="the CT"):
        write_fractional_evidence(tmp_path / "map.dcm", signed_map[1:], source, provenance)


def test_deflated_and_plain_are_the_same_object(source, signed_map, provenance, tmp_path):
    for name in ("deflated", "plain"):
        write_fractional_evidence(tmp_path / f"{name}.dcm", signed_map, source, provenance, deflated=name == "deflated")
    deflated, plain = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in ("deflated", "plain"))
    assert deflated == plain
    assert deflated.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1.99"
    assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
