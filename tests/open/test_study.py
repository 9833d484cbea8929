import contextlib
import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
from rt_utils import RTStructBuilder

from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.errors import InputError
from ctxai.open.study import Study

from sphere import SPHERE, centred_grid, sphere_hu
from synthetic_ct import ct_grid, write_ct

RADIUS_MM = 7.0


@pytest.fixture
def square(tmp_path):
    """A CT of square pixels, which rt-utils takes for granted, and a sphere in it: bool [slice, row, column]."""
    grid = centred_grid((20, 48, 56), (0.8, 0.8, 2.0))
    write_ct(tmp_path / "ct", sphere_hu(grid), grid)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)[..., ::-1]
    return tmp_path / "ct", np.linalg.norm(grid.to_lps(index) - SPHERE, axis=-1) <= RADIUS_MM


def write_structures(ct, mask, path, **changes):
    """An RT structure set of rt-utils; ``changes`` are frames of reference or patients of another CT."""
    structures = RTStructBuilder.create_new(dicom_series_path=str(ct))
    numbers = {header.sop_uid: number for number, header in enumerate(read_series(ct).headers)}
    order = [numbers[str(image.SOPInstanceUID)] for image in structures.series_data]
    structures.add_roi(mask[order].transpose(1, 2, 0), name="GTV nodule")
    structures.save(str(path))
    dataset = pydicom.dcmread(path)
    if "FrameOfReferenceUID" in changes:
        frame = changes.pop("FrameOfReferenceUID")
        dataset.FrameOfReferenceUID = frame
        dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = frame
        for roi in dataset.StructureSetROISequence:
            roi.ReferencedFrameOfReferenceUID = frame
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def write_mask(ct, mask, path):
    affine = np.diag([-1.0, -1, 1, 1]) @ read_series(ct).grid.affine
    nib.save(nib.Nifti1Image(mask.astype(np.uint8).transpose(2, 1, 0), affine), path)
    return path


def write_line(path):
    ends = [{"position": (SPHERE * [-1, -1, 1] + [side, 0, 0]).tolist()} for side in (-RADIUS_MM, RADIUS_MM)]
    path.write_text(json.dumps({"markups": [{"type": "Line", "coordinateSystem": "RAS", "controlPoints": ends}]}))
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["RT structure set", "NIfTI mask", "Slicer line"])
def test_marks_of_other_software_are_where_it_put_them(square, kind, tmp_path):
    ct, mask = square
    if kind == "RT structure set":
        path = write_structures(ct, mask, tmp_path / "rt.dcm")
    elif kind == "NIfTI mask":
        path = write_mask(ct, mask, tmp_path / "mask.nii.gz")
    else:
        path = write_line(tmp_path / "line.mrk.json")
    study = Study(ct, path)
    (mark,) = study.given
    grid = study.series[mark.series].ct.grid
    assert (np.abs(grid.to_index(np.array(mark.lps)) - grid.to_index(SPHERE)) <= 0.5).all()
    assert mark.state == "marked"
    assert mark.diameter_mm == pytest.approx(2 * RADIUS_MM, abs=1.2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("frame", "another frame of reference"),
        ("patient", "another patient"),
        ("empty", "has a contour"),
        ("outside", "lies outside the CT"),
    ],
)
def test_marks_of_another_ct_of_nothing_or_outside_are_one_line_and_nothing_is_written(
    square, wrong, said, tmp_path, capsys
):
    ct, mask = square
    path = tmp_path / "rt.dcm"
    if wrong == "frame":
        write_structures(ct, mask, path, FrameOfReferenceUID="1.2.3")
    elif wrong == "patient":
        write_structures(ct, mask, path, PatientID="OTHER")
    elif wrong == "empty":
        write_structures(ct, np.zeros_like(mask), path)
    else:
        path = tmp_path / "points.csv"
        path.write_text("x,y,z\n400,0,0\n")
    capsys.readouterr()
    arguments = ["open", ct, "--points", path, "--out", tmp_path / "session", "--no-browser"]
    assert main([*map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "session").exists()


def test_a_file_of_marks_comes_with_the_series_and_scores_are_proposals(sphere_ct, tmp_path):
    points = tmp_path / "points.csv"
    points.write_text("x,y,z,nodule_id,score\n{},{},{},a,0.75\n{},{},{},b,\n".format(*SPHERE, *SPHERE))
    study = Study(sphere_ct, points)
    assert [(one.nodule_id, one.state, one.score) for one in study.given] == [
        ("a", "proposed", 0.75),
        ("b", "marked", None),
    ]
    assert [one.x for one in study.given] == pytest.approx([SPHERE[0]] * 2, abs=1e-3)


def test_series_are_told_apart_and_a_faulty_one_is_told(tmp_path):
    hu = np.zeros((6, 8, 8), np.int16)
    write_ct(tmp_path / "a", hu, ct_grid(hu.shape), seed="a", attributes={"SeriesDescription": "first\x07"})
    files = write_ct(tmp_path / "b", hu, ct_grid(hu.shape), seed="b")
    files[2].unlink()
    study = Study(tmp_path)
    first, second = study.series.values()
    assert first.texts["SeriesDescription"] == "first"
    assert first.ct.grid.shape == hu.shape
    with pytest.raises(InputError, match="missing"):
        second.ct  # noqa: B018


def test_no_ct_is_one_line(tmp_path, capsys):
    assert main(["open", str(tmp_path), "--out", str(tmp_path / "session"), "--no-browser"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no DICOM CT image found" in line


def test_one_id_of_two_issuers_is_two_patients(tmp_path):
    for number, issuer in enumerate(("A", "B", "B")):
        attributes = {"PatientID": "1", "IssuerOfPatientID": issuer}
        write_ct(tmp_path / str(number), np.zeros((4, 8, 8), np.int16), seed=f"ct {number}", attributes=attributes)
    with contextlib.closing(Study(tmp_path)) as study:
        owners = [one.owner for one in study.series.values()]
    assert len(owners) == 3
    assert sorted(owners.count(one) for one in owners) == [1, 2, 2]
