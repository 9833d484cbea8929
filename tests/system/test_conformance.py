"""Every DICOM object that is written passes dicom3tools' validators; docs/conformance.md lists what they remark on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ctxai.ct.series import read_series
from ctxai.deidentification.ct import write_clean_ct
from ctxai.deidentification.profile import Confidentiality, parse_retained
from ctxai.export import (
    Estimate,
    NamedValue,
    NodulePage,
    NoduleSummary,
    Provenance,
    SegmentedNodule,
    SourceSeries,
    outline_of_mask,
    outline_of_point,
    pdf_report,
    write_encapsulated_pdf,
    write_fractional_evidence,
    write_heat_bands,
    write_nodule_segmentation,
    write_parametric_maps,
    write_secondary_capture,
    write_structured_report,
)
from ctxai.export.dicom.rating_codes import RATING_VALUES
from ctxai.open.marks import Mark
from ctxai.open.objects import write_objects
from ctxai.run.run import Run

from sphere import SPHERE
from synthetic_ct import SCANS, ct_grid, write_ct

pytestmark = pytest.mark.system

#: Remarks of the tool that docs/conformance.md explains; anything else fails.
EXPLAINED = (
    r"Warning - Unrecognized defined term <QUANTITY> for value 4 of attribute <(Image|Frame) Type>",
    r"Warning - Unrecognized defined term <(RadLex|99LIDCQIICR|99CTXAI)> for value 1 of attribute <Coding Scheme .*",
    r"Warning - Attribute is not present in standard DICOM IOD - .* (Image (Position|Orientation) \(Patient\)|"
    r"Frame of Reference UID) ",
    r"Warning - Dicom dataset contains attributes not present in standard DICOM IOD - .* Standard Extended SOP Class",
    r"Warning - Different information entities for attribute - Element=<AccessionNumber> IE <Study> versus <Series> .*",
    r"Warning - Missing attribute or value that would be needed to build DICOMDIR - Study (Time|ID|Date)",
)
SHAPE = (12, 24, 32)


def run(tool: str, *files: Path) -> list[str]:
    """Remarks of a validator, one per line."""
    if shutil.which(tool) is None:
        message = f"{tool} is absent: install the Debian package dicom3tools (make test-system does)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    result = subprocess.run([tool, *map(str, files)], capture_output=True, text=True, check=False)
    return [line for line in (result.stdout + result.stderr).splitlines() if re.match(r"(Error|Warning|Abort)", line)]


def write_all(
    ct: Path,
    out: Path,
    signed: bool = True,
    empty: bool = False,
    confidentiality: Confidentiality | None = None,
) -> list[Path]:
    """Objects of each kind on a scan."""
    source = SourceSeries.from_series(read_series(ct), confidentiality)
    provenance = Provenance(
        method="CDAM",
        target="malignancy",
        options={"variant": "pre_norm"},
        reference="a paper",
        run="vits8",
        weights_sha256="0123456789abcdef" * 4,
        explained=("phantom/1", "phantom/2"),
        signed=signed,
    )
    volume = np.zeros(source.grid.shape, dtype=np.float32)
    if not empty:
        volume[2:6, 3:14, 5:25] = np.linspace(-0.6 if signed else 0, 0.9, 4 * 11 * 20).reshape(4, 11, 20)
    labels = np.zeros(source.grid.shape, dtype=np.uint8)
    labels[2:5, 3:8, 5:14] = 1
    labels[7:10, 15:17, 20:31] = 2
    nodules = [SegmentedNodule("phantom/1"), SegmentedNodule("phantom/2", "AUTOMATIC")]
    written = write_parametric_maps(out, volume, source, provenance)
    written.append(write_heat_bands(out / "bands.dcm", volume, source, provenance))
    written.append(write_nodule_segmentation(out / "nodules.dcm", labels, nodules, source, provenance))
    said = reported(labels, source)
    write_structured_report(out / "report.dcm", said, source, provenance, written)
    write_fractional_evidence(out / "graded.dcm", volume, source, provenance)
    pages = [NodulePage(nodule, "image 1", Image.new("RGB", (30, 20)), "a picture") for nodule in said]
    write_encapsulated_pdf(out / "pdf.dcm", pdf_report(pages, provenance), source, provenance)
    pictures = {number: np.full((*source.grid.shape[1:], 3), number, dtype=np.uint8) for number in (3, 4)}
    write_secondary_capture(out, pictures, source, provenance)
    return sorted(out.glob("*.dcm"))


def reported(labels: np.ndarray, source: SourceSeries) -> list[NoduleSummary]:
    """An outlined nodule with everything that can be said, and a mere point."""
    estimates = (Estimate("malignancy", 3.2, 2.1, 4.4, 3.5), Estimate("diameter", 9.0, 7.0, 12.0, 8.5))
    figures = (
        NamedValue("Probability of a median rating over 3", 0.62, percent=True),
        NamedValue("cdam: fidelity", 0.3),
    )
    ratings = dict.fromkeys(RATING_VALUES, 3)
    return [
        NoduleSummary("phantom/1", outline_of_mask(labels == 1), estimates, figures, (ratings, ratings), 99.5, 8.5),
        NoduleSummary("phantom/2", outline_of_point(source.grid, source.grid.centre, 6.0), estimates[:1]),
    ]


def unexplained(tool: str, *files: Path) -> list[str]:
    """Remarks that docs/conformance.md does not explain."""
    return [remark for remark in run(tool, *files) if not any(re.fullmatch(known, remark) for known in EXPLAINED)]


def readable(file: Path) -> Path:
    """The object where dicom3tools can read it: they know no Deflated Explicit VR, of which this makes Explicit VR."""
    dataset = pydicom.dcmread(file)
    if dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        return file
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    inflated = file.parent / "inflated" / file.name
    inflated.parent.mkdir(exist_ok=True)
    dataset.save_as(inflated, enforce_file_format=True)
    return inflated


def require_conformance(files: list[Path], ct: Path) -> None:
    files = [readable(file) for file in files]
    assert any(file.parent.name == "inflated" for file in files)
    require_no_remark(files, ct)


def require_no_remark(files: list[Path], ct: Path) -> None:
    for file in files:
        assert unexplained("dciodvfy", file) == [], file.name
    assert unexplained("dcentvfy", *files, *sorted(ct.glob("*.dcm"))) == []


@pytest.mark.parametrize("name", SCANS)
def test_objects_on_a_scan_that_lies_so_conform(name, tmp_path):
    options = dict(SCANS[name])
    file_order = options.pop("file_order", None)
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16), ct_grid(SHAPE, **options), file_order=file_order)
    require_conformance(write_all(tmp_path / "ct", tmp_path / "out"), tmp_path / "ct")


@pytest.mark.parametrize(("signed", "empty"), [(False, False), (True, True)])
def test_objects_of_unsigned_and_of_empty_maps_conform(signed, empty, tmp_path):
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16))
    require_conformance(write_all(tmp_path / "ct", tmp_path / "out", signed, empty), tmp_path / "ct")


def test_objects_on_a_tilted_scan_conform(tmp_path):
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16), ct_grid(SHAPE, tilt_deg=12.0))
    require_conformance(write_all(tmp_path / "ct", tmp_path / "out"), tmp_path / "ct")


def test_objects_on_a_scan_with_empty_attributes_conform(tmp_path):
    empty = dict.fromkeys(
        ("PatientName", "PatientBirthDate", "PatientSex", "StudyTime", "StudyID", "AccessionNumber"), ""
    )
    missing = dict.fromkeys(("BodyPartExamined", "SeriesDate", "SeriesTime", "PositionReferenceIndicator"))
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16), attributes=empty | missing)
    require_conformance(write_all(tmp_path / "ct", tmp_path / "out"), tmp_path / "ct")


@pytest.mark.parametrize("retained", [[], ["uids", "dates"], ["modified-dates", "patient", "device", "institution"]])
def test_deidentified_objects_and_their_ct_conform(retained, tmp_path):
    known = {"StationName": "CT1", "DeviceSerialNumber": "1234", "InstitutionName": "a hospital", "PatientAge": "044Y"}
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16), attributes=known)
    confidentiality = Confidentiality(b"a key of the tests, known to all", parse_retained(retained))
    write_clean_ct(tmp_path / "clean", read_series(tmp_path / "ct"), confidentiality)
    files = write_all(tmp_path / "ct", tmp_path / "out", confidentiality=confidentiality)
    images = sorted((tmp_path / "clean").glob("*.dcm"))
    assert len(images) == SHAPE[0]
    for image in images:
        assert unexplained("dciodvfy", image) == [], image.name
    require_conformance(files, tmp_path / "clean")


def test_objects_on_a_real_scan_conform(lidc_0001, tmp_path):
    require_conformance(write_all(lidc_0001, tmp_path), lidc_0001)


def test_objects_of_a_reviewed_nodule_conform(sphere_ct, tmp_path):
    mark = Mark("0123456789ab", "nodule-001", *map(float, SPHERE))
    verdict = {"verdict": "disagree", "rating": 2, "text": "", "map_shown": True}
    files = write_objects(tmp_path / "s", read_series(sphere_ct), [mark], {mark.nodule_id: verdict}, Run.open(None))
    assert len(files) == 2
    require_no_remark([tmp_path / "s" / name for name in files], sphere_ct)


def test_the_validator_is_awake(tmp_path):
    (file,) = write_ct(tmp_path, np.zeros((1, 8, 8), dtype=np.int16), attributes={"Modality": None})
    assert any(remark.startswith("Error") for remark in run("dciodvfy", file))
