"""dcmtk, a toolkit that shares no code with what wrote the objects, reads the same values out of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ctxai.ct.series import read_series
from ctxai.export import (
    Estimate,
    NodulePage,
    NoduleSummary,
    Provenance,
    SourceSeries,
    outline_of_mask,
    pdf_report,
    write_encapsulated_pdf,
    write_fractional_evidence,
    write_heat_bands,
    write_parametric_map,
    write_secondary_capture,
    write_structured_report,
)

from synthetic_ct import FEET_FIRST, ct_grid, write_ct

pytestmark = pytest.mark.system

SHAPE = (12, 24, 32)


def run(*command: object) -> str:
    """What a program of dcmtk prints."""
    if shutil.which(str(command[0])) is None:
        message = f"{command[0]} is absent: install the Debian package dcmtk (make test-system does)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def source(tmp_path: Path) -> SourceSeries:
    grid = ct_grid(SHAPE, orientation=FEET_FIRST, origin_lps=(-27.6, -40.0, -92.5))
    write_ct(tmp_path / "ct", np.zeros(SHAPE, dtype=np.int16), grid)
    return SourceSeries.from_series(read_series(tmp_path / "ct"))


@pytest.fixture
def provenance() -> Provenance:
    return Provenance("CDAM", "malignancy", {"variant": "pre_norm"}, "a paper", "vits8", "0123456789abcdef" * 4)


@pytest.fixture
def nodule() -> NoduleSummary:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4, 5:9, 10:14] = True
    estimates = (Estimate("malignancy", 3.27, 2.52, 4.46, 3.75),)
    return NoduleSummary("phantom/1", outline_of_mask(mask), estimates, ratings=({"malignancy": 4},))


def test_dsrdump_reads_the_report_as_it_was_meant(source, provenance, nodule, tmp_path):
    write_structured_report(tmp_path / "sr.dcm", [nodule], source, provenance)
    printed = run("dsrdump", "+Pc", tmp_path / "sr.dcm")
    assert 'TEXT:(112039,DCM,"Tracking Identifier")="phantom/1"' in printed
    assert 'NUM:(RID36042,RadLex,"Malignancy")="3.3" ({score},UCUM,"score")' in printed
    assert re.search(r'"Malignancy, 90 % interval from"\)="2.5"', printed)
    assert re.search(r'"Malignancy, 90 % interval to"\)="4.5"', printed)
    assert 'CODE:(RID36042,RadLex,"Malignancy")=(904,99LIDCQIICR,"Moderately suspicious")' in printed
    assert "SCOORD:" in printed


def test_dcmdump_reads_the_same_float_values_in_the_order_of_the_slices(source, provenance, tmp_path):
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[2:6, 3:14, 5:25] = np.linspace(0.1, 1.0, 4 * 11 * 20, dtype=np.float32).reshape(4, 11, 20)
    write_parametric_map(tmp_path / "map.dcm", volume, source, provenance)
    printed = run("dcmdump", "-q", "+L", "+P", "7fe0,0008", tmp_path / "map.dcm")
    (numbers,) = re.findall(r"\(7fe0,0008\) OF (\S+)", printed)
    found = np.array(numbers.split("\\"), dtype=np.float32)
    np.testing.assert_allclose(found.reshape(SHAPE), volume, rtol=1e-6)


def test_dcmdump_opens_every_kind_of_object(source, provenance, nodule, tmp_path):
    volume = np.linspace(-1, 1, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    write_heat_bands(tmp_path / "out" / "bands.dcm", volume, source, provenance)
    write_fractional_evidence(tmp_path / "out" / "graded.dcm", volume, source, provenance)
    page = NodulePage(nodule, "image 5", Image.new("RGB", (30, 20)), "a picture")
    pdf = pdf_report([page], provenance)
    write_encapsulated_pdf(tmp_path / "out" / "pdf.dcm", pdf, source, provenance)
    write_secondary_capture(tmp_path / "out", {3: np.zeros((*SHAPE[1:], 3), np.uint8)}, source, provenance)
    for file in (tmp_path / "out").iterdir():
        assert "research use only" in run("dcmdump", "+L", file)
    run("dcm2pdf", tmp_path / "out" / "pdf.dcm", tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes() == pdf
