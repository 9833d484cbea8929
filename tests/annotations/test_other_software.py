"""Nodules marked by other software, in scans of every orientation: the same place and size."""

import json
import shutil
import subprocess

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from measurement_report import write_report
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from rt_utils import RTStructBuilder

from ctxai.annotations import CTDescription, annotate, open_annotations
from ctxai.ct.series import CTSeries, read_series
from ctxai.errors import InputError
from ctxai.export import Provenance, SourceSeries, write_nodule_segmentation
from ctxai.export.dicom.segmentation import SegmentedNodule
from ctxai.export.dicom.structured_report import write_structured_report
from ctxai.export.nodule_summary import Estimate, NoduleSummary
from ctxai.export.outline import outline_of_mask, outline_of_point
from ctxai.inference.nodules import candidates_of

from synthetic_ct import SCANS, ct_grid, write_ct

SHAPE = (24, 48, 56)
SPACING = (0.8, 0.9, 2.0)
RADIUS = 7.0
ORIENTED = ["axial", "feet first", "oblique by 20 degrees", "coronal"]


@pytest.fixture(params=ORIENTED)
def scan(request, tmp_path):
    orientation = {k: v for k, v in SCANS[request.param].items() if k == "orientation"}
    write_ct(tmp_path / "ct", np.zeros(SHAPE, np.int16), ct_grid(SHAPE, SPACING, **orientation))
    return read_series(tmp_path / "ct")


@pytest.fixture
def axial(tmp_path):
    write_ct(tmp_path / "ct", np.zeros(SHAPE, np.int16), ct_grid(SHAPE, SPACING))
    return read_series(tmp_path / "ct")


@pytest.fixture
def provenance() -> Provenance:
    return Provenance("readers", "outlines", explained=("a",))


def centre(series: CTSeries, index=(30.0, 22.0, 11.0)) -> np.ndarray:
    return series.grid.to_lps(np.array(index))


def sphere(series: CTSeries, *centres: np.ndarray) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)[..., ::-1]
    lps = series.grid.to_lps(index)
    return np.any([np.linalg.norm(lps - one, axis=-1) <= RADIUS for one in centres], axis=0)


def image_of(series: CTSeries, array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(series.grid.spacing_mm.tolist())
    image.SetOrigin(series.grid.affine[:3, 3].tolist())
    image.SetDirection((series.grid.affine[:3, :3] / series.grid.spacing_mm).ravel().tolist())
    return image


def nodules(path, series: CTSeries):
    return annotate(open_annotations(path), [CTDescription.of_slices(series.headers, series.patient_id)]).nodules


def assert_found(path, series: CTSeries, *centres: np.ndarray) -> None:
    """Each centre within half a voxel, each diameter within a pixel, and the outline on the CT's own voxels."""
    found = nodules(path, series)
    assert len(found) == len(centres)
    for nodule in found:
        nearest = min(centres, key=lambda one: np.linalg.norm(one - nodule.centre_lps))
        assert (np.abs(series.grid.to_index(nodule.centre_lps) - series.grid.to_index(nearest)) <= 0.5).all()
        assert nodule.diameter_mm == pytest.approx(2 * RADIUS, abs=max(SPACING[:2]) * 1.5)
    if found[0].mask is not None:
        truth = sphere(series, *centres)
        drawn = np.zeros(SHAPE, bool)
        for candidate in candidates_of(series, found):
            box = tuple(
                slice(a, a + n) for a, n in zip(candidate.masks.start, candidate.masks.masks.shape[1:], strict=True)
            )
            drawn[box] |= candidate.masks.masks[0]
        assert (drawn & truth).sum() * 2 / (drawn.sum() + truth.sum()) > 0.97


def test_a_label_volume_of_simpleitk(scan, tmp_path):
    for name in ("mask.nii.gz", "mask.nrrd", "mask.mha", "mask.mhd"):
        sitk.WriteImage(image_of(scan, sphere(scan, centre(scan)).astype(np.uint8)), str(tmp_path / name))
        assert_found(tmp_path / name, scan, centre(scan))


def test_a_nifti_of_nibabel_in_ras(scan, tmp_path):
    to_ras = np.diag([-1.0, -1, 1, 1]) @ scan.grid.affine
    image = nib.Nifti1Image(sphere(scan, centre(scan)).astype(np.uint8).transpose(2, 1, 0), to_ras)
    nib.save(image, tmp_path / "mask.nii")
    assert_found(tmp_path / "mask.nii", scan, centre(scan))


def test_one_label_in_several_pieces_is_several_nodules(axial, tmp_path):
    centres = centre(axial, (14, 12, 7)), centre(axial, (40, 34, 16))
    sitk.WriteImage(image_of(axial, sphere(axial, *centres).astype(np.uint8)), str(tmp_path / "mask.nrrd"))
    assert_found(tmp_path / "mask.nrrd", axial, *centres)


def test_segments_of_slicer_with_names_and_layers(axial, tmp_path):
    first, second = centre(axial, (26, 22, 11)), centre(axial, (30, 24, 11))  # they overlap
    layers = np.stack([sphere(axial, first), sphere(axial, second)], axis=-1).astype(np.uint8)
    image = sitk.GetImageFromArray(layers, isVector=True)
    image.CopyInformation(image_of(axial, layers[..., 0]))
    for number, name in enumerate(["left nodule", "right"]):
        for key, value in {"LabelValue": "1", "Layer": str(number), "Name": name}.items():
            image.SetMetaData(f"Segment{number}_{key}", value)
    sitk.WriteImage(image, str(tmp_path / "Segmentation.seg.nrrd"))
    assert_found(tmp_path / "Segmentation.seg.nrrd", axial, first, second)
    assert [nodule.nodule_id for nodule in nodules(tmp_path / "Segmentation.seg.nrrd", axial)] == [
        "left-nodule",
        "right",
    ]


def segment(number: int, label: str, kind=codes.SCT.Nodule) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        number, label, codes.SCT.MorphologicallyAbnormalStructure, kind, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )


def write_seg(series: CTSeries, path, masks: list[np.ndarray], segments) -> None:
    hd.seg.Segmentation(
        [pydicom.dcmread(header.path) for header in series.headers],
        np.stack(masks, axis=-1).astype(np.uint8),
        hd.seg.SegmentationTypeValues.BINARY,
        segments,
        generate_uid(),
        1,
        generate_uid(),
        1,
        "a",
        "b",
        "c",
        "d",
    ).save_as(path)


def test_a_segmentation_of_highdicom(scan, tmp_path):
    write_seg(scan, tmp_path / "seg.dcm", [sphere(scan, centre(scan))], [segment(1, "Nodule 1")])
    assert_found(tmp_path / "seg.dcm", scan, centre(scan))


def test_segments_that_are_no_nodules_are_left_out(axial, tmp_path):
    lung = np.ones(SHAPE, bool)
    segments = [segment(1, "Lung", codes.SCT.Lung), segment(2, "Nodule A"), segment(3, "Nodule B")]
    centres = centre(axial, (14, 12, 7)), centre(axial, (40, 34, 16))
    write_seg(axial, tmp_path / "seg.dcm", [lung, *(sphere(axial, one) for one in centres)], segments)
    assert_found(tmp_path / "seg.dcm", axial, *centres)


def test_a_segmentation_of_dcmqi(scan, tmp_path):
    tool = shutil.which("itkimage2segimage") or shutil.which("itkimage2segimage", path=".venv/bin")
    if tool is None:
        pytest.skip("no dcmqi")
    sitk.WriteImage(image_of(scan, sphere(scan, centre(scan)).astype(np.uint8)), str(tmp_path / "mask.nrrd"))
    code = {"CodeValue": "27925004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Nodule"}
    meta = {
        "SeriesDescription": "s",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "BodyPartExamined": "CHEST",
        "ContentCreatorName": "a^b",
        "ClinicalTrialSeriesID": "1",
        "ClinicalTrialTimePointID": "1",
        "segmentAttributes": [
            [
                {
                    "labelID": 1,
                    "SegmentDescription": "nodule",
                    "SegmentAlgorithmType": "MANUAL",
                    "SegmentedPropertyCategoryCodeSequence": code,
                    "SegmentedPropertyTypeCodeSequence": code,
                }
            ]
        ],
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    command = [tool, "--inputImageList", tmp_path / "mask.nrrd", "--inputDICOMDirectory", tmp_path / "ct"]
    command += ["--inputMetadata", tmp_path / "meta.json", "--outputDICOM", tmp_path / "seg.dcm", "--skip"]
    subprocess.run(command, check=True, capture_output=True)
    assert_found(tmp_path / "seg.dcm", scan, centre(scan))


def write_rtstruct(series: CTSeries, path, regions: dict[str, list[np.ndarray]], frame=None, kind="GTV") -> None:
    """An RT Structure Set with closed planar contours (PS3.3 C.8.8.6)."""
    source = pydicom.dcmread(series.headers[0].path)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    dataset.PatientID, dataset.Modality = source.PatientID, "RTSTRUCT"
    rois, contours, observations = [], [], []
    for number, (name, polygons) in enumerate(regions.items(), start=1):
        roi, drawn, observation = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = frame or source.FrameOfReferenceUID
        drawn.ReferencedROINumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType = kind if name != "BODY" else "EXTERNAL"
        parts = []
        for polygon in polygons:
            part = Dataset()
            part.ContourGeometricType, part.NumberOfContourPoints = "CLOSED_PLANAR", len(polygon)
            part.ContourData = [f"{value:.4f}" for value in polygon.ravel()]
            parts.append(part)
        drawn.ContourSequence = Sequence(parts)
        rois.append(roi)
        contours.append(drawn)
        observations.append(observation)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(rois), Sequence(contours)
    dataset.RTROIObservationsSequence = Sequence(observations)
    dataset.save_as(path, enforce_file_format=True)


def circles(series: CTSeries, at: np.ndarray, radius: float = RADIUS) -> list[np.ndarray]:
    """Sections of a sphere in every slice."""
    middle = series.grid.to_index(at)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    found = []
    for number in range(SHAPE[0]):
        square = radius**2 - ((number - middle[2]) * SPACING[2]) ** 2
        if square > 0:
            wide = np.sqrt(square) / np.array(SPACING[:2])
            ring = np.column_stack([np.cos(angles) * wide[0], np.sin(angles) * wide[1], np.zeros(72)])
            found.append(series.grid.to_lps(ring + np.array([middle[0], middle[1], number])))
    return found


def test_an_rt_structure_set(scan, tmp_path):
    write_rtstruct(
        scan, tmp_path / "rt.dcm", {"GTV 1": circles(scan, centre(scan)), "BODY": circles(scan, centre(scan), 18)}
    )
    assert_found(tmp_path / "rt.dcm", scan, centre(scan))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("approximate", [True, False], ids=["fewer points", "all points"])
@pytest.mark.parametrize("name", ORIENTED)
def test_an_rt_structure_set_of_rt_utils(tmp_path, name, approximate):
    """Of square pixels: rt-utils takes the distance of rows for that of columns."""
    orientation = {k: v for k, v in SCANS[name].items() if k == "orientation"}
    write_ct(tmp_path / "ct", np.zeros(SHAPE, np.int16), ct_grid(SHAPE, (0.8, 0.8, 2.0), **orientation))
    scan = read_series(tmp_path / "ct")
    structures = RTStructBuilder.create_new(dicom_series_path=str(tmp_path / "ct"))
    order = [str(image.SOPInstanceUID) for image in structures.series_data]
    numbers = [[header.sop_uid for header in scan.headers].index(uid) for uid in order]
    mask = sphere(scan, centre(scan))[numbers].transpose(1, 2, 0)
    structures.add_roi(mask, name="GTV nodule", approximate_contours=approximate)
    structures.save(str(tmp_path / "rt.dcm"))
    assert_found(tmp_path / "rt.dcm", scan, centre(scan))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rt.dcm", "none of its regions of interest has a contour"),
        ("seg.dcm", "none of its segments holds a voxel"),
        ("mask.nrrd", "no voxel has a label"),
    ],
)
def test_a_structure_without_anything_in_it_is_one_line(axial, tmp_path, name, said):
    nothing = np.zeros(SHAPE, bool)
    if name == "rt.dcm":
        write_rtstruct(axial, tmp_path / name, {"GTV 1": []})
    elif name == "seg.dcm":
        write_seg(axial, tmp_path / name, [nothing], [segment(1, "Nodule")])
    else:
        sitk.WriteImage(image_of(axial, nothing.astype(np.uint8)), str(tmp_path / name))
    with pytest.raises(InputError, match=said) as refused:
        nodules(tmp_path / name, axial)
    assert "\n" not in str(refused.value)


def test_a_segmentation_of_our_own(scan, tmp_path, provenance):
    centres = centre(scan, (14, 12, 7)), centre(scan, (40, 34, 16))
    labels = sum(number * sphere(scan, one).astype(np.uint8) for number, one in enumerate(centres, start=1))
    named = [SegmentedNodule("a"), SegmentedNodule("b")]
    write_nodule_segmentation(tmp_path / "seg.dcm", labels, named, SourceSeries.from_series(scan), provenance)
    assert_found(tmp_path / "seg.dcm", scan, *centres)
    assert [one.nodule_id for one in nodules(tmp_path / "seg.dcm", scan)] == ["a", "b"]


@pytest.mark.parametrize("outlined", [True, False], ids=["outline", "circle"])
@pytest.mark.parametrize("measured", [True, False], ids=["measured", "not measured"])
def test_a_structured_report_of_our_own(scan, tmp_path, provenance, outlined, measured):
    at = centre(scan)
    outline = outline_of_mask(sphere(scan, at)) if outlined else outline_of_point(scan.grid, at, 2 * RADIUS)
    summary = NoduleSummary(
        "a",
        outline,
        estimates=(Estimate("malignancy", 3.2, 2.1, 4.3), Estimate("diameter", 25.0, 20.0, 30.0, scale=(0, np.inf))),
        diameter_mm=2 * RADIUS if measured else None,
    )
    write_structured_report(tmp_path / "sr.dcm", [summary], SourceSeries.from_series(scan), provenance)
    assert_found(tmp_path / "sr.dcm", scan, at)
    assert [one.nodule_id for one in nodules(tmp_path / "sr.dcm", scan)] == ["a"]


def test_a_hole_of_an_rt_structure_is_no_nodule(axial, tmp_path):
    rings = circles(axial, centre(axial)) + circles(axial, centre(axial), 3.0)
    write_rtstruct(axial, tmp_path / "rt.dcm", {"nodule": rings})
    (nodule,) = nodules(tmp_path / "rt.dcm", axial)
    (candidate,) = candidates_of(axial, [nodule])
    index = np.rint(axial.grid.to_index(centre(axial))[::-1]).astype(int) - candidate.masks.start
    assert not candidate.masks.masks[0][tuple(index)]


def test_an_annotation_in_another_frame_of_reference_or_of_another_patient_is_refused(axial, tmp_path):
    write_rtstruct(axial, tmp_path / "rt.dcm", {"nodule": circles(axial, centre(axial))}, frame="1.2.3")
    with pytest.raises(InputError, match="another frame of reference"):
        nodules(tmp_path / "rt.dcm", axial)
    write_rtstruct(axial, tmp_path / "rt.dcm", {"nodule": circles(axial, centre(axial))})
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    dataset.PatientID = "OTHER"
    dataset.save_as(tmp_path / "rt.dcm")
    with pytest.raises(InputError, match="another patient"):
        nodules(tmp_path / "rt.dcm", axial)


@pytest.mark.parametrize("three", [True, False], ids=["SCOORD3D", "SCOORD"])
def test_a_measurement_report_of_highdicom(scan, tmp_path, three):
    write_report(scan, tmp_path / "sr.dcm", centre(scan), 2 * RADIUS, three)
    assert_found(tmp_path / "sr.dcm", scan, centre(scan))


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_lines_and_regions_of_slicer(axial, tmp_path, system):
    at = centre(axial)
    sign = np.array([1, 1, 1] if system == "LPS" else [-1, -1, 1])
    ends = [(sign * (at + np.array([x, 0, 0]))).tolist() for x in (-RADIUS, RADIUS)]
    line = {"type": "Line", "coordinateSystem": system, "controlPoints": [{"position": end} for end in ends]}
    roi = {"type": "ROI", "coordinateSystem": system, "center": (sign * at).tolist(), "size": [14, 14, 14]}
    for markup in (line, roi):
        (tmp_path / "m.mrk.json").write_text(json.dumps({"markups": [markup]}))
        assert_found(tmp_path / "m.mrk.json", axial, at)


def test_labels_and_units_of_slicer_are_honoured(axial, tmp_path):
    at = (centre(axial) / 10).tolist()
    control = {"position": at, "label": "RUL nodule"}
    markup = {"type": "Fiducial", "coordinateUnits": ["cm", "cm", "cm"], "controlPoints": [control]}
    (tmp_path / "m.mrk.json").write_text(json.dumps({"markups": [markup]}))
    (nodule,) = nodules(tmp_path / "m.mrk.json", axial)
    np.testing.assert_allclose(nodule.centre_lps, centre(axial))
    assert nodule.nodule_id == "RUL-nodule"


@pytest.mark.parametrize("kind", ["Plane", "Angle", "ClosedCurve"])
def test_a_mark_that_is_no_nodule_is_named_and_refused(tmp_path, kind):
    markup = {"type": kind, "controlPoints": [{"position": [1, 2, 3]}]}
    (tmp_path / "m.mrk.json").write_text(json.dumps({"markups": [markup]}))
    with pytest.raises(InputError, match=f"'{kind}' is no nodule"):
        open_annotations(tmp_path / "m.mrk.json")


def test_boxes_of_monai(axial, tmp_path):
    box = [*centre(axial).tolist(), 14.0, 14.0, 14.0]
    entry = {"image": f"{axial.series_uid}.nii.gz", "box": [box], "label": [0], "score": [0.9]}
    for content in ([entry], {"validation": [entry]}):
        (tmp_path / "boxes.json").write_text(json.dumps(content))
        assert_found(tmp_path / "boxes.json", axial, centre(axial))
        assert nodules(tmp_path / "boxes.json", axial)[0].columns["score"] == "0.9"


def test_boxes_of_nndetection(scan, tmp_path):
    image = image_of(scan, np.zeros(SHAPE, np.uint8))
    middle = scan.grid.to_index(centre(scan))[::-1]  # slice, row, column
    half = RADIUS / np.array(SPACING)[::-1]
    low, high = middle - half, middle + half
    content = {
        "pred_boxes": [[low[0], low[1], high[0], high[1], low[2], high[2]]],
        "pred_scores": [0.8],
        "itk_origin": image.GetOrigin(),
        "itk_spacing": image.GetSpacing(),
        "itk_direction": image.GetDirection(),
    }
    (tmp_path / "case_boxes.json").write_text(json.dumps(content))
    assert_found(tmp_path / "case_boxes.json", scan, centre(scan))
