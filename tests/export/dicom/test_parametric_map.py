from __future__ import annotations

import dataclasses

import highdicom as hd
import numpy as np
import pydicom
import pytest

from ctxai.errors import InputError
from ctxai.export import Evidence, SourceSeries, write_parametric_map, write_parametric_maps

from synthetic_ct import SCANS


@pytest.mark.parametrize("name", SCANS)
def test_frames_ascend_along_the_normal_and_carry_their_own_slice(scan, name, signed_map, provenance, tmp_path):
    series = scan(name)
    write_parametric_map(tmp_path / "map.dcm", signed_map, SourceSeries.from_series(series), provenance)
    dataset = pydicom.dcmread(tmp_path / "map.dcm")
    frames = dataset.pixel_array  # in the order of the file
    assert frames.dtype == np.float32
    assert frames.shape == series.grid.shape
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    positions = []
    for number, (frame, item) in enumerate(zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True)):
        positions.append([float(v) for v in item.PlanePositionSequence[0].ImagePositionPatient])
        np.testing.assert_allclose(positions[-1], series.headers[number].position, atol=1e-6)
        referenced = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert referenced == series.headers[number].sop_uid
        assert item.FrameContentSequence[0].DimensionIndexValues == number + 1
        np.testing.assert_allclose(
            frame * mapping.RealWorldValueSlope, np.maximum(signed_map[number], 0), rtol=1e-6, atol=0
        )
    assert (np.diff(np.array(positions) @ series.grid.normal) > 0).all()


def test_true_values_read_back_from_both_halves(source, signed_map, provenance, tmp_path):
    write_parametric_maps(tmp_path, signed_map, source, provenance)
    files = sorted(tmp_path.glob("*.dcm"), reverse=True)
    assert [file.name for file in files] == ["CDAM_malignancy_for.dcm", "CDAM_malignancy_against.dcm"]
    halves, stored = [], []
    for file in files:
        image = hd.imread(file)
        volume = image.get_volume(apply_real_world_transform=False)
        # highdicom arranges volumes by position; bring it to the CT's slices
        order = np.argsort([(volume.affine @ [k, 0, 0, 1])[:3] @ source.grid.normal for k in range(len(volume.array))])
        (mapping,) = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        halves.append(volume.array[order] * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept)
        stored.append(pydicom.dcmread(file).pixel_array)
    np.testing.assert_allclose(halves[0] + halves[1], signed_map, rtol=1e-6, atol=0)
    assert halves[1].max() == 0
    scale = np.abs(signed_map).max()
    assert stored[0].max() == 1
    assert stored[1].max() == pytest.approx(0.6 / scale, rel=1e-6)
    assert min(half.min() for half in stored) == 0


def test_an_empty_map_is_a_valid_object_of_scale_one(source, signed_map, provenance, tmp_path):
    write_parametric_maps(tmp_path, signed_map * 0, source, provenance)
    for file in tmp_path.glob("*_malignancy_*.dcm"):
        dataset = pydicom.dcmread(file)
        assert abs(dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueSlope) == 1
        assert not dataset.pixel_array.any()
        assert dataset.NumberOfFrames == 12


def test_a_scale_of_a_whole_study_is_kept(source, signed_map, provenance, tmp_path):
    write_parametric_map(tmp_path / "map.dcm", signed_map, source, provenance, Evidence.AGAINST, scale=1.5)
    dataset = pydicom.dcmread(tmp_path / "map.dcm")
    assert dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueSlope == -1.5
    assert dataset.pixel_array.max() == pytest.approx(0.4)


def test_an_unsigned_methods_map_is_one_object(source, signed_map, provenance, tmp_path):
    unsigned = dataclasses.replace(provenance, method="Rollout", signed=False)
    write_parametric_maps(tmp_path, np.abs(signed_map), source, unsigned)
    files = list(tmp_path.glob("*.dcm"))
    assert [file.name for file in files] == ["Rollout_malignancy_for.dcm"]
    with pytest.raises(InputError, match="said to be unsigned"):
        write_parametric_maps(tmp_path, signed_map, source, unsigned)


def test_the_object_is_coded_as_class_activation_of_the_chest_for_research(source, signed_map, provenance, tmp_path):
    write_parametric_map(tmp_path / "map.dcm", signed_map, source, provenance)
    dataset = pydicom.dcmread(tmp_path / "map.dcm")
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert (quantity.CodeValue, quantity.CodingSchemeDesignator) == ("130402", "DCM")
    assert dataset.BodyPartExamined == "CHEST"
    assert dataset.ContentQualification == "RESEARCH"
    assert dataset.ContentLabel == "EVIDENCE_FOR"
    assert dataset.InstanceNumber == 1


def test_wrong_inputs_are_refused_in_one_line(source, signed_map, provenance, tmp_path):
    with pytest.raises(InputError, match=r"shape \(11, 24, 32\), the CT \(12, 24, 32\)"):
        write_parametric_map(tmp_path / "map.dcm", signed_map[1:], source, provenance)
    for scale in (0.1, 0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="expected at least the map's largest magnitude"):
            write_parametric_map(tmp_path / "map.dcm", signed_map, source, provenance, scale=scale)
    broken = signed_map.copy()
    broken[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="not finite"):
        write_parametric_map(tmp_path / "map.dcm", broken, source, provenance)
    assert list(tmp_path.glob("*.dcm")) == []


def test_deflated_and_plain_are_the_same_object(source, signed_map, provenance, tmp_path):
    paths = [tmp_path / "deflated.dcm", tmp_path / "plain.dcm"]
    for path, deflated in zip(paths, (True, False), strict=True):
        write_parametric_map(path, signed_map, source, provenance, deflated=deflated)
    deflated, plain = map(pydicom.dcmread, paths)
    assert deflated == plain
    assert deflated.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1.99"
    assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert paths[0].stat().st_size < paths[1].stat().st_size / 2
