"""What a radiologist sees: CT and overlays of a phantom, in OHIF on Orthanc, in a real browser.

The CT alone tells where the ball is on the screen: it is what differs between the slice through it and the slice as far
from the scan's other end. An overlay must lie there and leave the other slice empty.
"""

from __future__ import annotations

from functools import cache
from urllib.parse import urlsplit

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from synthetic_ct import FEET_FIRST, rotated
from system.browser import opened_page
from system.ohif import coloured, is_there, look_at, middle, open_series, started_viewer
from system.orthanc import started_orthanc
from system.overlay_phantom import HIGH, LOW, MALIGNANCY, SHAPE, write_phantom

pytestmark = pytest.mark.system

WINDOW = (1000, 700)
SCANS = {
    "axial": {},
    "feet first": {
        "orientation": FEET_FIRST,
        "origin_lps": (80.0, -110.0, 40.0),
        "file_order": list(range(SHAPE[0]))[::-1],
    },
    "oblique": {"orientation": rotated(20)},
    "tilted gantry": {"tilt_deg": 12.0},
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    return {name: write_phantom(folder / name, name, **options) for name, options in SCANS.items()}


@pytest.fixture(scope="module")
def viewer(studies):
    with started_orthanc(dimse=False) as orthanc:
        for study in studies.values():
            orthanc.upload(study.files)
        with started_viewer(orthanc) as server:
            yield server


@pytest.fixture
def page(chromium):
    with opened_page(chromium, *WINDOW) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def ball(studies, viewer, chromium):
    """The ball's pixels in the CT alone, by the scan's name: bool [row, column]."""

    @cache
    def find(name: str) -> np.ndarray:
        study = studies[name]
        with opened_page(chromium, *WINDOW) as page:
            open_series(page, viewer, next((study.folder / "ct").iterdir()))
            here = look_at(page, study.centre, f"{name} CT", enough=lambda image: image.max() > 200)
            there = look_at(page, study.mirrored, f"{name} CT mirrored")
        found = np.abs(here.astype(int) - there).max(axis=2) > 100
        assert not coloured(here).any()
        assert is_there(found)
        return found

    return find


def require_heat_on_the_ball(page, viewer, study, overlay, ball, name):
    open_series(page, viewer, study.folder / "dicom" / overlay)
    heat = coloured(look_at(page, study.centre, name, enough=lambda image: is_there(coloured(image))))
    assert is_there(heat)
    np.testing.assert_allclose(middle(heat), middle(ball), atol=2.5)  # half a voxel of the CT
    assert np.count_nonzero(heat & ball) > 0.9 * np.count_nonzero(ball)
    rows, columns = np.nonzero(ball)
    rim = max(np.ptp(rows), np.ptp(columns)) / 2
    away = np.linalg.norm(np.argwhere(heat) - middle(ball), axis=1)
    assert away.max() < 2 * rim
    assert not is_there(coloured(look_at(page, study.mirrored, f"{name} mirrored")))
    assert {urlsplit(address).netloc for address in page.requests} <= {
        urlsplit(viewer.url).netloc,
        "",
    }  # data: and blob:


@pytest.mark.parametrize("scan", SCANS)
def test_the_parametric_map_lies_on_the_nodule_and_nowhere_else(scan, studies, viewer, page, ball):
    overlay = "pmap/cdam_malignancy_for.dcm"
    require_heat_on_the_ball(page, viewer, studies[scan], overlay, ball(scan), f"{scan} map")


@pytest.mark.parametrize("scan", SCANS)
def test_the_bands_of_evidence_lie_on_the_nodule_and_nowhere_else(scan, studies, viewer, page, ball):
    require_heat_on_the_ball(page, viewer, studies[scan], "seg/bands.dcm", ball(scan), f"{scan} bands")


def test_the_nodule_is_drawn_where_it_is(studies, viewer, page, ball):
    require_heat_on_the_ball(page, viewer, studies["axial"], "seg/nodules.dcm", ball("axial"), "axial nodules")


def test_the_nodules_outline_is_drawn_over_the_bands_without_a_click(studies, viewer, page, ball):
    study = studies["axial"]
    open_series(page, viewer, study.folder / "dicom" / "seg" / "bands.dcm")
    both = look_at(page, study.centre, "axial bands and outline", enough=lambda image: is_there(greenish(image)))
    border = ball("axial") & ~binary_erosion(ball("axial"))
    assert binary_dilation(greenish(both), iterations=4)[border].mean() > 0.9
    inside = binary_erosion(ball("axial"), iterations=8)
    assert not greenish(both)[inside].any()  # an outline, not an area
    assert coloured(both)[inside].mean() > 0.9  # the bands
    answer = f"malignancy {MALIGNANCY:.1f} of 5 (90 % interval {LOW:.1f} to {HIGH:.1f})"
    page.get_by_role("button", name=answer).wait_for()
    for share in ("for, 25 % to 50 % of", "for, 50 % to 75 % of", "for, 75 % of", "against, 25 % of"):
        page.get_by_text(f"evidence {share} scale").wait_for()


def greenish(image: np.ndarray) -> np.ndarray:
    """Pixels of the nodule's colour, also where it lies over a band's."""
    red, green, blue = np.moveaxis(image.astype(int), 2, 0)
    return (green > red + 20) & (green > blue + 20)


@pytest.mark.parametrize("scan", ["axial", "oblique"])
def test_the_structured_report_shows_its_numbers_at_the_nodule(scan, studies, viewer, page, ball):
    study = studies[scan]
    open_series(page, viewer, study.folder / "dicom" / "sr" / "report.dcm")
    image = look_at(page, study.centre, f"{scan} report", enough=lambda image: is_there(coloured(image)))
    shown = " ".join(page.locator("svg text").all_text_contents())
    ends = {"Malignancy": MALIGNANCY, "interval from": LOW, "interval to": HIGH}
    for words, number in ends.items():
        assert f"{words}: {number:.1f}0 {{score}}" in shown  # the viewer adds a decimal
    drawn = coloured(image)
    border = ball(scan) & ~binary_erosion(ball(scan))
    assert binary_dilation(drawn, iterations=4)[border].mean() > 0.9  # the outline
    assert np.count_nonzero(drawn & ~binary_dilation(ball(scan), iterations=8)) > 1000  # letters beside it
    assert not coloured(look_at(page, study.mirrored, f"{scan} report mirrored")).any()
