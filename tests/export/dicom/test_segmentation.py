from __future__ import annotations

import dataclasses

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from highdicom.color import CIELabColor

from ctxai.errors import InputError
from ctxai.export import (
    HEAT_BANDS,
    SegmentedNodule,
    SourceSeries,
    write_heat_bands,
    write_nifti,
    write_nodule_segmentation,
)
from ctxai.export.dicom.derived import tracking_uid
from ctxai.export.dicom.segmentation import heat_band_labels

from synthetic_ct import SCANS

NODULES = (SegmentedNodule("phantom/1"), SegmentedNodule("phantom/2", "AUTOMATIC"))


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((12, 24, 32), dtype=np.uint8)
    labels[2:5, 3:8, 5:14] = 1
    labels[2, 3, 5:9] = 0
    labels[7:10, 15:17, 20:31] = 2
    labels[9, 15, 20] = 0
    return labels


def on_ct(file, grid) -> np.ndarray:
    """Labels of a segmentation in the CT's array, each frame placed by its own position as the file states it."""
    dataset = pydicom.dcmread(file)
    result = np.zeros(grid.shape, dtype=np.uint8)
    for frame, item in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        column, row, number = grid.to_index(np.array(item.PlanePositionSequence[0].ImagePositionPatient, dtype=float))
        np.testing.assert_allclose([column, row, number - round(number)], 0, atol=1e-4)
        segment = item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        assert not result[round(number)][frame > 0].any()
        result[round(number)][frame > 0] = segment
    return result


@pytest.mark.parametrize("name", SCANS)
def test_masks_are_those_of_the_nifti_file_voxel_for_voxel(scan, name, labels, provenance, tmp_path):
    series = scan(name)
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, NODULES, SourceSeries.from_series(series), provenance)
    write_nifti(tmp_path / "seg.nii.gz", labels, series.grid, provenance)
    in_nifti = np.asarray(nib.load(tmp_path / "seg.nii.gz").dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(on_ct(tmp_path / "seg.dcm", series.grid), in_nifti)
    np.testing.assert_array_equal(in_nifti, labels)


def test_each_nodule_is_a_segment_with_tracking_site_and_colour(source, labels, provenance, tmp_path):
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, NODULES, source, provenance)
    segmentation = hd.seg.segread(tmp_path / "seg.dcm")
    assert segmentation.segmentation_type == hd.seg.SegmentationTypeValues.BINARY
    assert segmentation.number_of_segments == 2
    colours = set()
    for number, nodule in enumerate(NODULES, start=1):
        segment = segmentation.get_segment_description(number)
        assert segment.SegmentLabel == segment.tracking_id == nodule.nodule_id
        assert segment.tracking_uid == tracking_uid(source, nodule.nodule_id)
        assert segment.segmented_property_type.value == "27925004"
        assert segment.segmented_property_category.value == "49755003"
        assert segment.anatomic_regions[0].value == "39607008"
        colours.add(tuple(segment.RecommendedDisplayCIELabValue))
    assert len(colours) == 2
    assert segmentation.get_segment_description(1).algorithm_type.value == "MANUAL"
    assert segmentation.get_segment_description(2).algorithm_type.value == "AUTOMATIC"
    assert segmentation.NumberOfFrames == 6


def test_heat_bands_cut_at_quarters_of_the_maximum_and_are_disjoint():
    values = np.array([0.0, 0.24, 0.25, 0.49, 0.5, 0.74, 0.75, 1.0, 1.1, -0.24, -0.25, -1.0, -1.1], dtype=np.float32)
    assert heat_band_labels(values, 1.0).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3, 0, 4, 4, 4]
    assert heat_band_labels(2 * values, 2.0).tolist() == heat_band_labels(values, 1.0).tolist()


def test_heat_bands_show_the_maps_values_where_they_are(scan, signed_map, provenance, tmp_path):
    series = scan("oblique by 20 degrees")
    write_heat_bands(tmp_path / "bands.dcm", signed_map, SourceSeries.from_series(series), provenance)
    found = on_ct(tmp_path / "bands.dcm", series.grid)
    share = signed_map / np.abs(signed_map).max()
    for number, (low, high) in enumerate([(0.25, 0.5), (0.5, 0.75), (0.75, 1.01)], start=1):
        np.testing.assert_array_equal(found == number, (share >= low) & (share < high))
    np.testing.assert_array_equal(found == 4, share <= -0.25)
    assert set(np.unique(found)) == {0, 1, 2, 3, 4}


def test_heat_bands_have_labels_codes_and_colours_a_person_understands(source, signed_map, provenance, tmp_path):
    write_heat_bands(tmp_path / "bands.dcm", signed_map, source, provenance)
    dataset = pydicom.dcmread(tmp_path / "bands.dcm")
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == [
        "malignancy: evidence for, 25 % to 50 % of scale",
        "malignancy: evidence for, 50 % to 75 % of scale",
        "malignancy: evidence for, 75 % of scale and more",
        "malignancy: evidence against, 25 % of scale and more",
    ]
    for segment, band in zip(dataset.SegmentSequence, HEAT_BANDS, strict=True):
        colour = CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
        np.testing.assert_allclose(colour, band.colour, atol=2)
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130402"
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmName == "CDAM"
        assert "variant=pre_norm" in algorithm.AlgorithmParameters


def test_an_empty_map_is_a_valid_object_with_all_bands(source, signed_map, provenance, tmp_path):
    write_heat_bands(tmp_path / "bands.dcm", signed_map * 0, source, provenance)
    dataset = pydicom.dcmread(tmp_path / "bands.dcm")
    assert len(dataset.SegmentSequence) == 4
    assert not dataset.pixel_array.any()


def test_an_unsigned_method_has_no_band_of_evidence_against(source, signed_map, provenance, tmp_path):
    unsigned = dataclasses.replace(provenance, signed=False)
    write_heat_bands(tmp_path / "bands.dcm", np.abs(signed_map), source, unsigned)
    assert len(pydicom.dcmread(tmp_path / "bands.dcm").SegmentSequence) == 3
    with pytest.raises(InputError, match="said to be unsigned"):
        write_heat_bands(tmp_path / "bands.dcm", signed_map, source, unsigned)


def test_wrong_inputs_are_refused_in_one_line(source, labels, signed_map, provenance, tmp_path):
    def write(array=labels, nodules=NODULES):
        write_nodule_segmentation(tmp_path / "seg.dcm", array, nodules, source, provenance)

    with pytest.raises(InputError, match=r"shape \(11, 24, 32\), the CT \(12, 24, 32\)"):
        write(labels[1:])
    with pytest.raises(InputError, match="labels are int64"):
        write(labels.astype(np.int64))
    with pytest.raises(InputError, match=r"labels go up to 2, but 1 nodule\(s\) are named"):
        write(nodules=NODULES[:1])
    with pytest.raises(InputError, match="nodule phantom/3 has no voxel"):
        write(nodules=(*NODULES, SegmentedNodule("phantom/3")))
    with pytest.raises(InputError, match="no nodule to write"):
        write(nodules=())
    with pytest.raises(InputError, match="nodule id"):
        write(nodules=(SegmentedNodule("a\\b"), NODULES[1]))
    with pytest.raises(InputError, match="the CT"):
        write_heat_bands(tmp_path / "bands.dcm", signed_map[1:], source, provenance)
    assert list(tmp_path.glob("*.dcm")) == []


def test_deflated_and_plain_segmentations_are_the_same_objects(source, labels, signed_map, provenance, tmp_path):
    for name in ("deflated", "plain"):
        deflated = name == "deflated"
        write_nodule_segmentation(tmp_path / name / "n.dcm", labels, NODULES, source, provenance, deflated=deflated)
        write_heat_bands(tmp_path / name / "b.dcm", signed_map, source, provenance, deflated=deflated)
    for file in ("n.dcm", "b.dcm"):
        deflated, plain = (pydicom.dcmread(tmp_path / name / file) for name in ("deflated", "plain"))
        assert deflated == plain
        assert deflated.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1.99"
        assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        np.testing.assert_array_equal(deflated.pixel_array, plain.pixel_array)


def test_frames_of_bits_that_end_within_a_byte_are_those_of_the_labels(scan, provenance, tmp_path):
    labels = np.zeros((5, 9, 11), np.uint8)
    labels[1:3, 2:8, 3:11] = 1
    labels[2, 5:, 7:] = 2
    series = scan(hu=np.zeros(labels.shape, np.int16))
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, NODULES, SourceSeries.from_series(series), provenance)
    np.testing.assert_array_equal(on_ct(tmp_path / "seg.dcm", series.grid), labels)
    assert pydicom.dcmread(tmp_path / "seg.dcm").NumberOfFrames == 3
