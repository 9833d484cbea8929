"""The same voxel, read back by software that did not write it, lies at the same place in every object."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from ctxai.ct.series import CTSeries, find_series, read_series
from ctxai.export import (
    Provenance,
    SegmentedNodule,
    SourceSeries,
    write_fractional_evidence,
    write_nifti,
    write_nodule_segmentation,
    write_parametric_map,
)

from synthetic_ct import FEET_FIRST, SCANS, ct_grid, write_ct

TOLERANCE_MM = 0.01


class Markers:
    """Voxels (slice, row, column) that are not in one plane, each with a value of its own in CT, map and mask."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        slices, rows, columns = shape
        self.voxels = [
            (1, 2, 3),
            (slices - 2, 3, 5),
            (2, rows - 4, 6),
            (3, 4, columns - 5),
            (slices // 2, rows // 3, 9),
        ]
        self.hu = np.zeros(shape, dtype=np.int16)
        self.labels = np.zeros(shape, dtype=np.uint8)
        for label, voxel in enumerate(self.voxels, start=1):
            self.hu[voxel] = 100 * label
            self.labels[voxel] = label
        self.map = (self.labels / 8).astype(np.float32)


def in_order(array: np.ndarray) -> np.ndarray:
    """Indices (5, 3) of an array's five voxels that are not 0, the least value first."""
    places = np.argwhere(array)
    assert len(places) == 5
    places = places[np.argsort(array[tuple(places.T)])]
    values = array[tuple(places.T)].astype(float)
    np.testing.assert_allclose(values / values[0], [1, 2, 3, 4, 5], rtol=1e-6)
    return places


def in_itk(image: sitk.Image) -> np.ndarray:
    """LPS mm (5, 3) of the markers in an image that is 0 elsewhere."""
    places = in_order(sitk.GetArrayFromImage(image))
    return np.array([image.TransformIndexToPhysicalPoint(place[::-1].tolist()) for place in places])


def in_array(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The same for an array and the affine of its indices."""
    return in_order(array) @ affine[:3, :3].T + affine[:3, 3]


def places_of_every_reader(series: CTSeries, markers: Markers, folder: Path) -> dict[str, np.ndarray]:
    """Write all objects and ask each reader for the markers, LPS mm (5, 3)."""
    source = SourceSeries.from_series(series)
    provenance = Provenance("markers", "test")
    nodules = [SegmentedNodule(f"marker {label}") for label in range(1, 6)]
    write_nifti(folder / "map.nii.gz", markers.map, series.grid, provenance)
    write_nifti(folder / "mask.nii.gz", markers.labels, series.grid, provenance)
    write_parametric_map(folder / "map.dcm", markers.map, source, provenance, scale=1.0)
    write_nodule_segmentation(folder / "seg.dcm", markers.labels, nodules, source, provenance)
    write_fractional_evidence(folder / "graded.dcm", markers.map * np.float32(8 / 255), source, provenance, scale=1.0)

    places = {}
    for name in ("map", "mask"):
        read = nib.load(folder / f"{name}.nii.gz")
        places[f"nibabel {name}"] = in_array(np.asarray(read.dataobj), read.affine) * [-1, -1, 1]
        places[f"SimpleITK {name}"] = in_itk(sitk.ReadImage(folder / f"{name}.nii.gz"))
    volume = hd.imread(folder / "map.dcm").get_volume(apply_real_world_transform=False)
    places["highdicom map"] = in_array(volume.array, volume.affine)
    volume = hd.seg.segread(folder / "seg.dcm").get_volume(combine_segments=True)
    places["highdicom segmentation"] = in_array(volume.array, volume.affine)
    volume = hd.seg.segread(folder / "graded.dcm").get_volume(segment_numbers=[1], rescale_fractional=False)
    places["highdicom graded segmentation"] = in_array(volume.array[..., 0], volume.affine)
    for name in ("map", "seg"):
        places[f"frame positions of {name}"] = places_of_frames(pydicom.dcmread(folder / f"{name}.dcm"))
    return places


def places_of_frames(dataset: pydicom.Dataset) -> np.ndarray:
    """LPS mm of the markers by PS3.3 C.7.6.2.1.1 alone: position, orientation and pixel spacing of each frame."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    row_mm, column_mm = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    places = {}
    for frame, item in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(item.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for row, column in np.argwhere(frame > 0):
            if "SegmentIdentificationSequence" in item:
                label = item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            else:
                label = round(float(frame[row, column]) * 8)
            places[label] = position + orientation[:3] * column_mm * column + orientation[3:] * row_mm * row
    return np.array([places[label] for label in range(1, 6)])


def places_in_ct(series: CTSeries) -> np.ndarray:
    """LPS mm of the markers in the CT, read by SimpleITK alone."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series.headers[0].path.parent)))
    return in_itk(reader.Execute())


@pytest.mark.parametrize("name", SCANS)
def test_every_object_puts_a_voxel_where_the_ct_has_it(scan, name, tmp_path):
    markers = Markers((12, 24, 32))
    series = scan(name, markers.hu)
    truth = places_in_ct(series)
    np.testing.assert_allclose(series.grid.to_lps(np.array(markers.voxels)[:, ::-1]), truth, atol=TOLERANCE_MM)
    for reader, places in places_of_every_reader(series, markers, tmp_path).items():
        np.testing.assert_allclose(places, truth, atol=TOLERANCE_MM, err_msg=reader)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_objects_of_a_compressed_scan_are_as_right(scan, syntax, tmp_path):
    markers = Markers((12, 64, 72))  # JPEG 2000 refuses smaller images
    series = scan("oblique by 20 degrees", markers.hu)
    truth = places_in_ct(series)
    for header in series.headers:
        dataset = pydicom.dcmread(header.path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(header.path)
    series = read_series(series.headers[0].path.parent)
    np.testing.assert_array_equal(series.read(), markers.hu)
    for reader, places in places_of_every_reader(series, markers, tmp_path).items():
        np.testing.assert_allclose(places, truth, atol=TOLERANCE_MM, err_msg=reader)


def test_objects_of_a_thick_sliced_scan_are_as_right(tmp_path):
    markers = Markers((12, 24, 32))
    write_ct(tmp_path / "ct", markers.hu, ct_grid(markers.hu.shape, (0.7, 0.8, 7.5)))
    series = read_series(tmp_path / "ct")
    truth = places_in_ct(series)
    for reader, places in places_of_every_reader(series, markers, tmp_path).items():
        np.testing.assert_allclose(places, truth, atol=TOLERANCE_MM, err_msg=reader)


def test_two_series_of_a_study_have_objects_of_their_own(tmp_path):
    """They differ by their frame of reference, position and UIDs, so that neither's objects lie over the other."""
    markers = Markers((12, 24, 32))
    write_ct(tmp_path / "study" / "a", markers.hu, seed="a")
    moved = ct_grid(markers.hu.shape, origin_lps=(-30.0, -10.0, 55.0), orientation=FEET_FIRST)
    write_ct(tmp_path / "study" / "b", markers.hu, moved, seed="b")
    found = [CTSeries(headers) for headers in find_series(tmp_path / "study").values()]
    assert len(found) == 2
    assert found[0].study_uid == found[1].study_uid
    said = []
    for number, series in enumerate(found):
        truth = places_in_ct(series)
        out = tmp_path / str(number)
        for reader, places in places_of_every_reader(series, markers, out).items():
            np.testing.assert_allclose(places, truth, atol=TOLERANCE_MM, err_msg=reader)
        said.append([pydicom.dcmread(out / name) for name in ("map.dcm", "seg.dcm", "graded.dcm")])
    for one, other in zip(*said, strict=True):
        assert one.FrameOfReferenceUID != other.FrameOfReferenceUID
        assert one.SeriesInstanceUID != other.SeriesInstanceUID
        mine = {e.value for e in one.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
        assert not mine & {e.value for e in other.iterall() if e.keyword == "ReferencedSOPInstanceUID"}


def test_objects_of_a_tilted_scan_are_right_by_position(scan, tmp_path):
    markers = Markers((12, 24, 32))
    series = scan("axial", markers.hu, tilt_deg=15.0)
    truth = series.grid.to_lps(np.array(markers.voxels)[:, ::-1])
    source, provenance = SourceSeries.from_series(series), Provenance("markers", "test")
    write_parametric_map(tmp_path / "map.dcm", markers.map, source, provenance, scale=1.0)
    nodules = [SegmentedNodule(f"marker {label}") for label in range(1, 6)]
    write_nodule_segmentation(tmp_path / "seg.dcm", markers.labels, nodules, source, provenance)
    for name in ("map", "seg"):
        np.testing.assert_allclose(
            places_of_frames(pydicom.dcmread(tmp_path / f"{name}.dcm")), truth, atol=TOLERANCE_MM, err_msg=name
        )


def test_every_object_of_a_real_scan_puts_a_voxel_where_the_ct_has_it(lidc_0001, tmp_path):
    folder = tmp_path / "part"
    folder.mkdir()
    for header in read_series(lidc_0001).headers[60:90]:
        (folder / header.path.name).symlink_to(header.path)
    series = read_series(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    markers = Markers(series.grid.shape)
    truth = np.array([image.TransformIndexToPhysicalPoint(voxel[::-1]) for voxel in markers.voxels])
    for name, places in places_of_every_reader(series, markers, tmp_path).items():
        np.testing.assert_allclose(places, truth, atol=TOLERANCE_MM, err_msg=name)
    write_nifti(tmp_path / "ct.nii.gz", series.read(), series.grid)
    read = sitk.ReadImage(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), np.maximum(sitk.GetArrayFromImage(image), -1024))
