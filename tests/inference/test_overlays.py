import logging
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ctxai.ct.grid import Grid
from ctxai.ct.series import read_series
from ctxai.explain.fuse import FusedMap
from ctxai.export.dicom.segmentation import HEAT_BANDS
from ctxai.inference.formats.base import format_names
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.options import ExplainOptions
from ctxai.inference.overlays import write_overlays

from synthetic_ct import ct_grid, write_ct


def test_a_long_target_still_fits_the_label_of_a_segment():
    against = HEAT_BANDS[-1]
    assert against.label("malignancy") == "malignancy: evidence against, 25 % of scale and more"
    assert against.label("calcification-spiculation") == "calcification-spiculation: against, 25 % of scale and more"
    for band in HEAT_BANDS:
        assert len(band.label("a" * 64)) <= 64


def write(folder, ct, formats, method="cdam"):
    """Write the objects of a made-up map of one marked nodule in the middle of a CT."""
    series = read_series(ct)
    values = np.zeros((64, 64, 64), np.float32)
    values[28:36, 30:38, 26:34] = np.linspace(-0.5, 1, 512, dtype=np.float32).reshape(8, 8, 8)
    candidate = NoduleCandidate("nodule", series.grid.centre, 6.0)
    patch = SimpleNamespace(grid=Grid.cube(series.grid.centre, (64,) * 3, 1.0), hu=np.zeros((64,) * 3, np.int16))
    maps = {(method, "malignancy"): FusedMap(values, values * 0, np.ones(values.shape, bool))}
    nodules = [SimpleNamespace(candidate=candidate, patch=patch, maps=maps, inside=None)]
    rows = [{"malignancy": 3.0, "malignancy_low": 2.0, "malignancy_high": 4.0, "malignancy_probability": 0.5}]
    run = SimpleNamespace(name="run", weights_sha256="0" * 64, own=None)
    methods = [SimpleNamespace(name=method, options={"variant": "pre_norm"}, reference="a paper", signed=True)]
    write_overlays(folder, series, nodules, rows, ExplainOptions(ct, run, methods, ["malignancy"], (), formats))


@pytest.fixture
def ct(tmp_path):
    grid = ct_grid((16, 40, 44), (1.5, 1.5, 3.0))
    write_ct(tmp_path / "ct", np.zeros(grid.shape, np.int16), grid)
    return tmp_path / "ct"


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_format_has_its_place_and_a_rerun_writes_the_same_bytes(ct, tmp_path):
    write(tmp_path / "out", ct, format_names())
    written = files_of(tmp_path / "out")
    assert {name for name in written if "/sc/" not in name} == {
        "ct.nii.gz",
        "ct.json",
        "maps/cdam_malignancy.nii.gz",
        "maps/cdam_malignancy.json",
        "dicom/pmap/cdam_malignancy_for.dcm",
        "dicom/pmap/cdam_malignancy_against.dcm",
        "dicom/seg/cdam_malignancy_bands.dcm",
        "dicom/seg/cdam_malignancy_graded.dcm",
        "dicom/sr/nodules.dcm",
        "dicom/pdf/nodules.dcm",
    }
    assert {name for name in written if "/sc/" in name} == {
        f"dicom/sc/cdam_malignancy_{number:04d}.dcm" for number in (7, 8)
    }
    write(tmp_path / "again", ct, format_names())
    assert files_of(tmp_path / "again") == written


def test_plain_formats_write_the_same_objects_uncompressed_and_never_beside_deflated_ones(ct, tmp_path):
    deflated = ("pmap", "seg", "fractional")
    plain = tuple(f"{name}-plain" for name in deflated)
    for folder, formats in (("deflated", deflated), ("plain", plain), ("both", (*deflated, *plain))):
        write(tmp_path / folder, ct, formats)
    written = {name: pydicom.dcmread(tmp_path / "plain" / name) for name in files_of(tmp_path / "plain")}
    assert len(written) == 4
    for name, dataset in written.items():
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian, name
        twin = pydicom.dcmread(tmp_path / "deflated" / name)
        assert twin.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian, name
        assert twin == dataset, name
    assert files_of(tmp_path / "both") == files_of(tmp_path / "deflated")


def test_the_report_refers_to_every_map_and_segmentation_written_with_it(ct, tmp_path):
    write(tmp_path / "out", ct, ("pmap", "seg", "fractional", "sr"))
    report = pydicom.dcmread(tmp_path / "out" / "dicom" / "sr" / "nodules.dcm")
    referenced = {e.value for e in report.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    for kind in ("pmap", "seg"):
        for file in (tmp_path / "out" / "dicom" / kind).iterdir():
            assert pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID in referenced


def test_a_ct_that_ohif_was_not_tried_on_gets_bands_and_a_word(tmp_path, caplog):
    grid = ct_grid((16, 40, 44), (1.5, 1.5, 3.0), tilt_deg=20.0)
    write_ct(tmp_path / "ct", np.zeros(grid.shape, np.int16), grid)
    with caplog.at_level(logging.WARNING):
        write(tmp_path / "out", tmp_path / "ct", ("pmap",))
    assert "stacked 20 degrees off their normal; OHIF may misplace its Parametric Map" in caplog.text
    assert "dicom/seg/cdam_malignancy_bands.dcm" in files_of(tmp_path / "out")


def test_a_ct_like_those_that_ohif_shows_rightly_gets_what_was_asked_for(ct, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        write(tmp_path / "out", ct, ("pmap",))
    assert caplog.text == ""
    assert not (tmp_path / "out" / "dicom" / "seg").exists()
